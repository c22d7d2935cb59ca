"""Ray Serve, with the models of the practice TensorFlow Serving behind its gRPC proxy.

What Ray does is Ray's: balancing, supervision, updates and batching. Here is what it serves, and
how it is started so that nobody else reaches it.
"""
