"""An HTTP session that tries again, with growing pauses; gRPC's channels do it by themselves."""

from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import MaxRetryError
from urllib3.util import Retry


class RetryingSession(requests.Session):
    """A session that tries again when the connection fails or the service is not available.

    urllib3 does most of it. It leaves out an answer that breaks off, because `requests` reads
    the answer only after urllib3 has done its part: that is added here.
    """

    def __init__(self, retries: int) -> None:
        super().__init__()
        self._policy = Retry(
            retries,
            backoff_factor=0.2,
            backoff_max=2,
            backoff_jitter=0.2,
            status_forcelist=(429, 502, 503, 504),
            allowed_methods=None,
            raise_on_status=False,
        )
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
