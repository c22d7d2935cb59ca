"""The same call as Python, curl and JSON."""
