"""`python -m tests.idle` stands for a service that hangs at its start: it does nothing."""

import threading

if __name__ == "__main__":
    threading.Event().wait()
