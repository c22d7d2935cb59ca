"""How good the engines behind the practice CCAI are; `make quality` measures and tells."""
