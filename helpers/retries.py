"""Calls that are tried again: what gRPC and requests bring for it, with growing pauses."""

import json
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry


def channel_options(retries: int) -> list[tuple[str, Any]]:
    """Return a channel's options for trying again; gRPC itself varies the pauses.

    `transport.unary` adds the answers that break off.

    See gRPC's proposal A6, "Client Retries".
    """
    policy = {
        "maxAttempts": retries + 1,
        "initialBackoff": "0.2s",
        "maxBackoff": "2s",
        "backoffMultiplier": 2,
        "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED"],
    }
    config = {"methodConfig": [{"name": [{}], "retryPolicy": policy}]}
    return [
        ("grpc.service_config", json.dumps(config)),
        # A channel that was refused waits by itself too: not longer than the pauses here.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 1000),
    ]


class RetryingSession(requests.Session):
    """A session that tries again when the connection fails or the service is not available.

    urllib3 does most of it. It leaves out an answer that breaks off, because `requests` reads
    the answer only after urllib3 has done its part: that is added here.
    """

    def __init__(self, retries: int) -> None:
        super().__init__()
        self._policy = Retry(
            retries, backoff_factor=0.2, backoff_max=2, backoff_jitter=0.2,
            status_forcelist=(429, 502, 503, 504), allowed_methods=None, raise_on_status=False,
        )  # fmt: skip
        for scheme in ("http://", "https://"):
            self.mount(scheme, HTTPAdapter(max_retries=self._policy))

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
        """Send a request, again when its answer breaks off."""
        policy = self._policy
        while True:
            try:
                return super().send(request, **kwargs)
            except (ChunkedEncodingError, ContentDecodingError, requests.ConnectionError) as error:
                if isinstance(error.args and error.args[0], MaxRetryError):
                    raise  # urllib3 has tried as often as it may
                try:
                    policy = policy.increment(request.method, request.url, error=error)
                except Exception:  # as often as it may, too
                    raise error from None
                policy.sleep()
