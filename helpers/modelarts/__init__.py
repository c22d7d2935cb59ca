"""Calls to ModelArts: a token or a signature first, then an image or JSON over HTTPS."""

import dataclasses
import json
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent import futures
from typing import TYPE_CHECKING, Any

from helpers import errors, transport
from helpers.endpoints import Endpoint
from helpers.images import Image, file_bytes
from helpers.modelarts.answers import CallsFailed, answer, lifetime
from helpers.modelarts.signing import sign
from helpers.progress import bar

if TYPE_CHECKING:
    import requests

__all__ = [
    "CallsFailed",
    "Token",
    "check",
    "get_token",
    "infer_image",
    "infer_json",
    "infer_many",
    "services",
    "sign",
]

TIMEOUT = 45.0  # seconds; ModelArts itself gives up after 40
_MARGIN = 600.0  # seconds before a token's end at which a new one is fetched


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of IAM.

    Its text, `value`, is a secret for as long as it lives; it is not shown.
    """

    value: str = dataclasses.field(repr=False)
    expires_at: str
    deadline: float = dataclasses.field(repr=False)  # by time.monotonic, whatever the clock says
    project_id: str = ""

    @property
    def remaining(self) -> float:
        """Seconds that it still lives."""
        return self.deadline - time.monotonic()


_tokens: dict[tuple[str, ...], Token] = {}
_lock = threading.Lock()


def get_token(endpoint: Endpoint, *, timeout: float = TIMEOUT) -> Token:
    """Get a token from IAM, or the one that this process has got already.

    Parameters
    ----------
    endpoint : Endpoint
        Its `iam` address, `user`, `password`, `domain` (the account) and `project` count.
    timeout : float
        Seconds until the call is given up.

    Returns
    -------
    Token
        A new one when the last one ends within ten minutes.

    Raises
    ------
    CallError
        `NotAuthenticated` for a wrong user, password or domain, for instance.

    See IAM's `POST /v3/auth/tokens`.
    """
    with _lock:  # of many threads one asks, and the others wait for its token
        token = _tokens.get(_account(endpoint))
        if token is None or token.remaining < _MARGIN:
            token = _tokens[_account(endpoint)] = _fetch(endpoint, timeout)
        return token


def infer_image(
    endpoint: Endpoint, image: Image, *, name: str = "images", timeout: float = TIMEOUT
) -> Any:
    """Send an image to a service.

    Parameters
    ----------
    endpoint : Endpoint
        Its `rest` is the service's whole address.
    image : path, bytes, or uint8 ndarray of shape (height, width) or (height, width, 3) in RGB
        Bytes are those of a file. An array is sent as PNG.
    name : str
        The model's input parameter: the name of the form's field.
    timeout : float
        Seconds until the call is given up.

    Returns
    -------
    dict
        The answer's JSON; its fields depend on the model.

    Raises
    ------
    CallError

    See ModelArts, "Accessing a Real-Time Service (Token-based Authentication)".
    """
    # ModelArts looks at the content, not at this name.
    return _post(endpoint, timeout, files={name: ("image", file_bytes(image))})


def infer_json(endpoint: Endpoint, body: Any, *, timeout: float = TIMEOUT) -> Any:
    """Send JSON to a service; the rest is as in `infer_image`.

    Parameters
    ----------
    body : dict
        Such as `{"data": {"req_data": [...]}}`; what is in it depends on the model.
    """
    headers = {"Content-Type": "application/json"}
    return _post(endpoint, timeout, data=to_json(body).encode(), headers=headers)


def to_json(body: Any) -> str:
    """Write a request's body; BadInput for what JSON does not have."""
    try:
        return json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise errors.BadInput(f"This cannot be written as JSON: {error}.") from error


def infer_many(
    endpoint: Endpoint,
    inputs: Iterable[Any],
    *,
    threads: int = 8,
    timeout: float = TIMEOUT,
    progress: bool = True,
) -> list[Any]:
    """Send many images, or many dicts as JSON, from several threads.

    Parameters
    ----------
    endpoint : Endpoint
    inputs : iterable
        Dicts go to `infer_json`, everything else to `infer_image`.
    threads : int
        Calls that are under way at once.
    timeout : float
        Seconds for each call.
    progress : bool
        Show a bar when it takes over two seconds.

    Returns
    -------
    list
        The answers, in the order of the inputs.

    Raises
    ------
    CallsFailed
        When any call failed: all of their exceptions, and the answers of the others.
    """

    def call(item: Any) -> Any:
        infer = infer_json if isinstance(item, Mapping) else infer_image
        return infer(endpoint, item, timeout=timeout)

    pool = futures.ThreadPoolExecutor(threads)
    try:
        calls = [pool.submit(call, item) for item in inputs]
        with bar(len(calls), " calls", progress) as tick:
            for _ in futures.as_completed(calls):
                tick()
    finally:  # after Ctrl-C, too: what has not begun never will
        pool.shutdown(cancel_futures=True)
    return CallsFailed.answers_of(calls)


def services(
    endpoint: Endpoint, address: str = "", *, timeout: float = TIMEOUT
) -> list[dict[str, Any]]:
    """List the real-time services of a project, with `access_address` for those that run.

    Parameters
    ----------
    endpoint : Endpoint
        With what a token needs.
    address : str, optional
        Of ModelArts' management, `https://modelarts...`; without it the endpoint's own host.
    timeout : float

    Returns
    -------
    list of dict
        As ModelArts describes them: `service_name`, `status`, `access_address`, ...

    See ModelArts' `GET /v1/{project_id}/services` and `GET /v1/{project_id}/services/{id}`.
    """
    host = address.rstrip("/") or endpoint.rest.partition("/v1/")[0]
    url = f"{host}/v1/{get_token(endpoint, timeout=timeout).project_id}/services"
    with_token = endpoint.replace(rest=url, auth="")

    def get(asked: Endpoint) -> Any:
        return answer(asked, _send(asked, timeout, method="GET"))

    return [
        get(with_token.replace(rest=f"{url}/{service['service_id']}"))
        for service in get(with_token)["services"]
    ]


def check(endpoint: Endpoint, *, timeout: float = TIMEOUT) -> None:
    """Ask whether a service runs and lets you in, without an inference; CallError if not."""
    try:
        _post(endpoint, timeout, data=b"")
    except errors.BadInput as error:
        if error.code is None:
            raise  # not even sent
        # Whoever complains about the empty request has let it in.


def _post(endpoint: Endpoint, timeout: float, **content: Any) -> Any:
    if not endpoint.rest.startswith("https://"):
        raise errors.BadInput(
            "ModelArts speaks HTTPS only. Give the service's whole address as its page shows it: "
            "endpoint.replace(rest='https://host/v1/infers/...')."
        )
    response = _send(endpoint, timeout, **content)
    used = response.request.headers.get("X-Auth-Token")
    if response.status_code == 401 and used:  # over before its time: get another one, once
        with _lock:
            token = _tokens.get(_account(endpoint))
            if token is not None and token.value == used:
                del _tokens[_account(endpoint)]
        response = _send(endpoint, timeout, **content)
    return answer(endpoint, response)


def _send(endpoint: Endpoint, timeout: float, *, method: str = "POST", **content: Any) -> Any:
    def prove(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        if endpoint.auth == "signature":
            return sign(request, endpoint.user, endpoint.password)
        if endpoint.auth == "appcode":
            request.headers["X-Apig-AppCode"] = endpoint.password
        else:
            request.headers["X-Auth-Token"] = get_token(endpoint, timeout=timeout).value
        return request

    # No redirect is followed: the proof would go along.
    content = {"auth": prove, "allow_redirects": False, **content}
    return transport.request(endpoint, method, endpoint.rest, timeout, **content)


def _account(endpoint: Endpoint) -> tuple[str, ...]:
    return (
        endpoint.iam,
        endpoint.ca_file,
        endpoint.user,
        endpoint.password,
        endpoint.domain,
        endpoint.project,
    )


def _fetch(endpoint: Endpoint, timeout: float) -> Token:
    if not (endpoint.iam and endpoint.user and endpoint.domain and endpoint.project):
        raise errors.BadInput(
            "A token needs IAM's address, the user, the user's domain (the account's name) and "
            "the project: endpoint.replace(iam=..., user=..., domain=..., project=...)."
        )
    domain = {"name": endpoint.domain}
    user = {"name": endpoint.user, "password": endpoint.password, "domain": domain}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": endpoint.project}}
    iam = endpoint.replace(rest=endpoint.iam + "/v3/auth/tokens")
    asked = time.monotonic()
    response = _send(
        iam,
        timeout,
        auth=lambda request: request,  # nothing proves yet who is calling
        params={"nocatalog": "true"},
        json={"auth": {"identity": identity, "scope": scope}},
    )
    content = answer(iam, response)
    try:
        token = content["token"]
        return Token(
            response.headers["X-Subject-Token"],
            token["expires_at"],
            asked + lifetime(token),
            token.get("project", {}).get("id", ""),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.NotThisProtocol(
            f"Something answers at {endpoint.iam}, but not as IAM does: there is no token.",
            service=endpoint.service,
            endpoint=endpoint.iam,
        ) from error
