"""`make soak`: many clients for minutes, while models and versions come and go: nothing is lost."""
