"""What one looks and measures with: the panel, plots, timings, the wire, the explorer."""
