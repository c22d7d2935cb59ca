"""What the notebooks import: endpoints, channels, calls, and the errors they raise."""
