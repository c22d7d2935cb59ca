"""The ports that the practice services take when they are free, and where they tell how they do."""

# Nothing else here: `otw doctor` reads it where the services themselves may not work.
HEALTH_PATH = "/practice/health"  # over HTTP, at one port of each service; no product has it
DEFAULT = {
    "tfserving": {"grpc": 8500, "rest": 8501},
    "tfserving-tf": {"grpc": 8510, "rest": 8511},
    "ccai": {"rest": 8080, "grpc": 8081, "secure_rest": 8443, "secure_grpc": 8444},
    "modelarts": {"iam": 9443},
    "proxy": {"http": 3128},
    "rayserve": {"grpc": 8520, "api": 8521},
}
