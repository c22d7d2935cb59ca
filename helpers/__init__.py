"""What the notebooks import: endpoints, channels, calls, and the errors they raise."""

import os

# gRPC would write each failed handshake to the screen as well; it raises an exception anyway.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
