"""CCAI's messages and stubs, generated from its .proto files; and how the official ones load."""
