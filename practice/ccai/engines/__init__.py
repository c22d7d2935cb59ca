"""The engines behind CCAI's services, one module each, loaded when they are first used."""


class EngineFailed(Exception):
    """Raised when an engine cannot answer; the text says why."""
