"""CCAI's gRPC messages and stubs, generated from `inference_service.proto`; `make protos` makes them anew."""
