"""Speaks TensorFlow Serving over gRPC."""
