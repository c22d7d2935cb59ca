"""Calls to ModelArts: a token or a signature first, then an image or JSON over HTTPS."""

import copy
import dataclasses
import itertools
import json
import math
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent import futures
from typing import TYPE_CHECKING, Any

from helpers import errors, transport
from helpers.endpoints import Endpoint
from helpers.errors import libraries
from helpers.images import Image, file_bytes
from helpers.language import _
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
# What an endpoint needs for each `auth`, with the value's name where it has another one here.
_PROOFS = {
    "": {"iam": "...", "user": "...", "password": "...", "domain": "...", "project": "..."},
    "signature": {"user": "AK", "password": "SK"},
    "appcode": {"password": "APPCODE"},
}
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


# Of each account.
_tokens: dict[tuple[str, ...], Token] = {}
_locks: dict[tuple[str, ...], threading.Lock] = {}
_refusals: dict[tuple[str, ...], tuple[float, errors.NotAuthenticated]] = {}  # the last one, when


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
    return _token(endpoint, timeout)


def _token(endpoint: Endpoint, timeout: float, stale: str = "") -> Token:
    """Return the account's token, or another one where that is the stale one."""
    began = time.monotonic()
    account = _account(endpoint)
    lock = _locks.setdefault(account, threading.Lock())
    # Of many threads one asks, and the others wait for its token.
    if not lock.acquire(timeout=max(0.0, timeout)):
        raise libraries.call_error("", ["requests.Timeout"], endpoint, endpoint.iam, None, "")
    try:
        token = _tokens.get(account)
        if token is None or token.remaining < _MARGIN or token.value == stale:
            refused, refusal = _refusals.get(account, (-math.inf, None))
            if refusal and refused > began:  # all of them would ask, and IAM locks the user
                raise copy.copy(refusal)
            try:
                token = _tokens[account] = _fetch(endpoint, began + timeout - time.monotonic())
            except errors.NotAuthenticated as error:
                _refusals[account] = time.monotonic(), error
                raise
        return token
    finally:
        lock.release()


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
        raise errors.BadInput(_("This cannot be written as JSON: {error}.", error=error)) from error


def infer_many(
    endpoint: Endpoint,
    inputs: Iterable[Any],
    *,
    threads: int = 8,
    timeout: float = TIMEOUT,
    progress: bool = True,
) -> list[Any]:
    """Send many images, or many dicts as JSON, from several threads.

    The first call is made alone, and after one that is `NotAuthenticated` no more are made: a
    wrong password or key that is tried several times is locked.

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

    refused = threading.Event()

    def call(item: Any) -> Any:
        if refused.is_set():
            raise futures.CancelledError
        infer = infer_json if isinstance(item, Mapping) else infer_image
        try:
            return infer(endpoint, item, timeout=timeout)
        except errors.NotAuthenticated:
            refused.set()
            raise

    pool = futures.ThreadPoolExecutor(threads)
    items = iter(inputs)
    try:
        calls = [pool.submit(call, item) for item in itertools.islice(items, 1)]
        futures.wait(calls)
        calls += [pool.submit(call, item) for item in items]
        with bar(len(calls), " calls", progress) as tick:
            for _done in futures.as_completed(calls):
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
        Seconds for each of the questions that this takes.

    Returns
    -------
    list of dict
        As ModelArts describes them: `service_name`, `status`, `access_address`, ...

    See ModelArts' `GET /v1/{project_id}/services` and `GET /v1/{project_id}/services/{id}`.
    """
    host = address.rstrip("/") or endpoint.rest.partition("/v1/")[0]
    url = f"{host}/v1/{get_token(endpoint, timeout=timeout).project_id}/services"
    with_token = endpoint.at(url).replace(auth="")

    def get(asked: Endpoint) -> Any:
        return answer(asked, _send(asked, timeout, method="GET"))

    listed = get(with_token)
    try:
        addresses = [f"{url}/{service['service_id']}" for service in listed["services"]]
    except (KeyError, TypeError) as error:
        problem = _(
            "Something answers at {address}, but not as ModelArts does: there is no list of "
            "services.",
            address=url,
        )
        raise _not_this(endpoint, url, problem) from error
    return [get(with_token.replace(rest=asked)) for asked in addresses]


def check(endpoint: Endpoint, *, timeout: float = TIMEOUT) -> None:
    """Ask whether a service runs and lets you in, without an inference; CallError if not."""
    try:
        _post(endpoint, timeout, data=b"")
    except errors.BadInput as error:
        if error.code is None:
            raise  # not even sent
        # Whoever complains about the empty request has let it in.


def check_caller(endpoint: Endpoint) -> None:
    """Raise BadInput when an endpoint does not have what proves who is calling, and say what."""
    proof = _PROOFS[endpoint.auth]
    missing = {field: text for field, text in proof.items() if not getattr(endpoint, field)}
    if not missing or (endpoint.token and not endpoint.auth):
        return
    give = f"endpoint.replace({', '.join(f'{field}={text}' for field, text in missing.items())})"
    if endpoint.auth == "signature":
        raise errors.BadInput(_("A signature needs an access key. Missing: {give}.", give=give))
    if endpoint.auth == "appcode":
        raise errors.BadInput(_("The AppCode is missing: {give}.", give=give))
    raise errors.BadInput(
        _(
            "ModelArts asks who is calling. Give a token with endpoint.replace(token=...) or "
            "OTW_MODELARTS_TOKEN. Or what is missing for a token to be fetched: {give}. Or an "
            "access key: endpoint.replace(auth='signature', user=AK, password=SK).",
            give=give,
        )
    )


def _post(endpoint: Endpoint, timeout: float, **content: Any) -> Any:
    if not endpoint.rest.startswith("https://"):
        raise errors.BadInput(
            _(
                "ModelArts speaks HTTPS only. Give the service's whole address as its page shows "
                "it: endpoint.replace(rest='https://host/v1/infers/...')."
            )
        )
    deadline = time.monotonic() + timeout
    response = _send(endpoint, timeout, **content)
    used = response.request.headers.get("X-Auth-Token")
    if (
        response.status_code == 401 and used and not endpoint.token
    ):  # over before its time: get another one, once
        response = _send(endpoint, deadline - time.monotonic(), stale=used, **content)
    return answer(endpoint, response)


def _send(
    endpoint: Endpoint, timeout: float, *, method: str = "POST", stale: str = "", **content: Any
) -> Any:
    deadline = time.monotonic() + timeout
    token = endpoint.token
    if endpoint.auth:
        check_caller(endpoint)
    elif not token:
        token = _token(endpoint, timeout, stale).value

    def prove(request: "requests.PreparedRequest") -> "requests.PreparedRequest":
        if endpoint.auth == "signature":
            return sign(request, endpoint.user, endpoint.password)
        if endpoint.auth == "appcode":
            request.headers["X-Apig-AppCode"] = endpoint.password
        else:
            request.headers["X-Auth-Token"] = token
        return request

    return _request(endpoint, deadline - time.monotonic(), method, auth=prove, **content)


def _request(endpoint: Endpoint, timeout: float, method: str, **content: Any) -> Any:
    # No redirect is followed: the proof would go along.
    return transport.request(
        endpoint, method, endpoint.rest, timeout, allow_redirects=False, **content
    )


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
    check_caller(endpoint.replace(token=""))
    domain = {"name": endpoint.domain}
    user = {"name": endpoint.user, "password": endpoint.password, "domain": domain}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": endpoint.project}}
    iam = endpoint.at(endpoint.iam + "/v3/auth/tokens")
    asked = time.monotonic()
    response = _request(
        iam,
        timeout,
        "POST",
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
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        problem = _(
            "Something answers at {address}, but not as IAM does: there is no token.",
            address=endpoint.iam,
        )
        raise _not_this(endpoint, endpoint.iam, problem) from error


def _not_this(endpoint: Endpoint, address: str, problem: str) -> errors.NotThisProtocol:
    return errors.NotThisProtocol(problem, service=endpoint.service, endpoint=address)
