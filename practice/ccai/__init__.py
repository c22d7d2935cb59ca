"""A local CCAI: its REST paths in both dialects, its gRPC service, and real engines behind them."""
