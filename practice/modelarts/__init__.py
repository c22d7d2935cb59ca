"""A local ModelArts: IAM and the gateway before the inference services."""
