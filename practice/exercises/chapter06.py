"""Chapter 06: proxies."""

import contextlib
import os
import re
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import grpc
import requests

from helpers import endpoints
from helpers.endpoints import Endpoint
from helpers.language import _
from practice import manager
from practice.exercises import Wrong, expect, run
from practice.instance import private

_NOBODY = "http://127.0.0.1:9"
_PATIENCE = 20.0  # seconds that two calls with a limit of 5 may take, also on a busy machine


def _text(answer: Any) -> str:
    expect(isinstance(answer, str), _("the answer is a text, in quotation marks."))
    return answer


def _no_proxy(answer: Any) -> None:
    text = _text(answer)
    for host, direct in (("127.0.0.1:8080", True), ("localhost:8080", True)):
        expect(
            requests.utils.should_bypass_proxies(f"http://{host}/", no_proxy=text) is direct,
            _("a call to {host} still goes through the proxy.", host=host),
        )
    for host in ("ai.lab.example", "192.0.2.7"):
        expect(
            not requests.utils.should_bypass_proxies(f"http://{host}/", no_proxy=text),
            _("a call to {host} goes past the proxy, too.", host=host),
        )


def _address(answer: Any) -> None:
    try:
        parts = urllib.parse.urlsplit(_text(answer))
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Wrong(_("this is no address: {error}.", error=error)) from error
    expect(
        answer.count("@") == 1 and not re.search(r"%(?![\da-fA-F]{2})", answer),
        _("not every program can read this: a letter that has a meaning there stands as it is."),
    )
    expect(parts.scheme == "http", _("the address does not begin with http://."))
    expect(
        (host, port) == ("proxy.example", 3128),
        _("who reads this address finds another host or port in it than the proxy's."),
    )
    user, word = requests.utils.get_auth_from_url(answer)
    expect(user == "lab/ada", _("who reads this address finds another user in it."))
    expect(word == "50%:off@noon", _("who reads this address finds another password in it."))


def _open_channel(answer: Any) -> None:
    address = endpoints.load("ccai").grpc
    with _environment(grpc_proxy=_NOBODY, http_proxy=_NOBODY):
        channel = run(answer, address)
        expect(
            isinstance(channel, grpc.Channel), _("what the function returned is no gRPC channel.")
        )
        with channel:
            try:
                # CCAI has no such method: who says so has been reached.
                channel.unary_unary("/hello")(b"", timeout=5)
            except grpc.RpcError as error:
                expect(
                    error.code() is not grpc.StatusCode.UNAVAILABLE,
                    _("the call went to the proxy that the environment names."),
                )


def _ask(answer: Any) -> None:
    url = _url()
    with private("proxy", flags=["--cut=0.5"]) as half:
        for _number in range(2):  # one of two calls in a row is cut off first
            expect(
                _asked(answer, url, half.url) == "healthcheck ok",
                _("what the function returned is not the answer's text."),
            )
    with private("proxy", flags=["--cut=1"]) as all_of_them:
        with contextlib.suppress(requests.exceptions.RequestException):
            answer(url, all_of_them.url)
            raise Wrong(_("no answer came whole, and no error was raised."))
        calls = len(all_of_them.log())
    expect(
        calls == 4,
        _("where every answer is cut off, it called {calls} times and not four.", calls=calls),
    )


def _asked(answer: Any, url: str, proxy: str) -> Any:
    try:
        return run(answer, url, proxy)
    except Wrong as wrong:
        if isinstance(wrong.__cause__, requests.exceptions.ChunkedEncodingError):
            raise Wrong(
                _("one answer was cut off, and the service was not asked again.")
            ) from wrong
        raise


def _whose_fault(answer: Any) -> None:
    url, nowhere = _url(), "http://127.0.0.1:1/"
    proxy = manager.status("proxy")["proxy"]["http"]
    _judge_fault(answer, url, proxy, "nobody's", _("the proxy and the service run"))
    _judge_fault(answer, nowhere, proxy, "the service's", _("the service does not run"))
    _judge_fault(answer, url, _NOBODY, "the proxy's", _("the proxy does not run"))
    with private("proxy", flags=["--refuse=1"]) as busy:
        _judge_fault(answer, url, busy.url, "the proxy's", _("the proxy refuses"))
    with private("proxy", flags=["--authenticate"]) as keeper:
        _judge_fault(answer, url, keeper.http, "the proxy's", _("the proxy asks for a password"))
    with private("ccai") as ill:
        ill.trouble(fail="UNAVAILABLE")
        _judge_fault(answer, _url(ill), proxy, "the service's", _("the service itself answers 503"))
    _judge_limit(answer, url)


def _judge_limit(answer: Any, url: str) -> None:
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(private("proxy", flags=["--stall=1"]))
        end = threading.Timer(_PATIENCE, stack.close)  # or a call without a limit waits for ever
        end.start()
        started = time.monotonic()
        try:
            _judge_fault(answer, url, silent.url, "the proxy's", _("the proxy never answers"))
        finally:
            end.cancel()
            waited = time.monotonic() - started
        expect(
            waited < _PATIENCE,
            _("the proxy never answers, and the function waited longer than its limit."),
        )


def _judge_fault(answer: Any, url: str, proxy: str, wanted: str, case: str) -> None:
    given = run(answer, url, proxy)
    expect(given == wanted, _("when {case}, it says {given!r}.", case=case, given=given))


def _url(endpoint: Endpoint | None = None) -> str:
    return f"{(endpoint or endpoints.load('ccai')).rest}/cgi-bin/fcgi_py_policy"


@contextlib.contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Set proxy variables for a moment, and no others."""
    kept = {name: text for name, text in os.environ.items() if name.lower().endswith("_proxy")}
    for name in kept:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(kept)


CHECKS = {1: _no_proxy, 2: _address, 3: _open_channel, 4: _ask, 5: _whose_fault}
