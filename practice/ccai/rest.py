"""The REST ports: paths, HTTP's own errors, and Basic authentication on the secure one."""

import asyncio
import base64
import functools
import hmac
import logging
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from practice.ccai import cpp_dialect, pages, python_dialect
from practice.ccai.backend import Backend
from practice.host import web
from practice.host.students import Students, sign_in

PREFIX = "/cgi-bin/"
REALM = {"www-authenticate": 'Basic realm="AIAPI Gateway", charset="UTF-8"'}
FAILURE_DELAY = 2.0  # seconds, as PAM waits in the original: guessing passwords has to be slow
Answer = Callable[[Request, bytes], Response]
log = logging.getLogger("practice.ccai")


class User:
    """Who may call.

    Parameters
    ----------
    name, password : str
    students : Students, optional
        They may, too, with passwords of their own.
    """

    def __init__(self, name: str, password: str, students: Students | None = None) -> None:
        self._expected = f"{name}:{password}".encode()
        self._students = students

    def said(self, header: str) -> bool | None:
        """Tell whether an `authorization` header names such a user; None when it names nobody."""
        if not header.startswith("Basic "):
            return None
        try:
            pair = base64.b64decode(header.removeprefix("Basic "))
        except ValueError:
            return None
        if b":" not in pair:
            return None
        return hmac.compare_digest(pair, self._expected) or self._is_student(pair)

    def _is_student(self, pair: bytes) -> bool:
        student = self._students.with_password(pair) if self._students else ""
        return bool(student) and sign_in(student)


def application(backend: Backend, user: User | None = None) -> Callable:
    """Make the ASGI application of one port.

    Parameters
    ----------
    backend : Backend
    user : User, optional
        With one, paths under `/cgi-bin/` ask who is calling.
    """
    paths = _paths(backend)

    async def respond(request: Request) -> Response:
        path = request.scope["path"]
        try:
            # Before anything is refused: who is still sending would not hear the answer.
            body = await web.read_body(request)
        except web.TooLarge:
            body = None
        if any(ord(character) < 32 or ord(character) == 127 for character in path):
            return pages.lighttpd(400)
        if user is not None and path.startswith(PREFIX):
            admitted = user.said(request.headers.get("authorization", ""))
            if admitted is False:
                log.warning("REST: wrong user or password.")
                await asyncio.sleep(FAILURE_DELAY)
            if not admitted:
                return pages.lighttpd(401, {**REALM, "connection": "close"})
        if path not in paths:
            return pages.lighttpd(404)
        if body is None:
            return pages.lighttpd(413)
        # In a thread: an engine that is busy holds up nobody who asks another one.
        return await web.in_thread(request, paths[path], request, body)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        response = await respond(Request(scope, receive))
        await response(scope, receive, send)

    return app


def _paths(backend: Backend) -> dict[str, Answer]:
    paths: dict[str, Answer] = {
        f"{PREFIX}streaming": cpp_dialect.streaming,
        f"{PREFIX}smartphoto": cpp_dialect.smartphoto,
    }
    for name in python_dialect.names():
        paths[f"{PREFIX}fcgi_py_{name}"] = functools.partial(python_dialect.answer, name, backend)
    for name in cpp_dialect.names():
        paths[f"{PREFIX}fcgi_{name}"] = functools.partial(cpp_dialect.answer, name, backend)
    for name in cpp_dialect.INFORMATION:
        paths[f"{PREFIX}fcgi_{name}"] = functools.partial(cpp_dialect.information, name, paths)
    return paths
