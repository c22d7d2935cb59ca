"""The command `otw`, a module for each of its commands."""
