"""Arrays, tables and pictures from what a person gives."""
