"""What another web server than the practice services would answer."""

import http.client
import re
import socket
import time
from collections.abc import Callable


def http_answer(body: bytes = b"", status: int = 200, length: int | None = None) -> bytes:
    """Return a whole HTTP/1.1 answer; with another `length` it breaks off, or goes on too long.

    `tcp_server` closes after each answer. It says so: a client that keeps connections open
    could send its next request into the close, and fail without an answer.
    """
    head = (
        f"HTTP/1.1 {status} {http.client.responses[status]}\r\n"
        f"Content-Length: {len(body) if length is None else length}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body


def received(connection: socket.socket) -> bytes:
    """Return a request, head and body; empty when the client went away."""
    request = b""
    while not re.search(rb"\r\n\r\n", request) or len(request) < _length(request):
        part = connection.recv(4096)
        if not part:
            break
        request += part
    return request


def _length(request: bytes) -> int:
    head, _, _ = request.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    return len(head) + 4 + (int(length[1]) if length else 0)


def drip(head: bytes, piece: bytes, pause: float = 0.1) -> Callable[[socket.socket], None]:
    """Return a server that begins like that and then sends a piece now and then, for a while."""

    def answer(connection: socket.socket) -> None:
        received(connection)
        connection.sendall(head)
        for _ in range(100):
            connection.sendall(piece)
            time.sleep(pause)

    return answer


def moved(there: str, status: int = 307) -> bytes:
    """Return the answer of a server that sends a call on."""
    location = f"\r\nLocation: {there}\r\n".encode("latin-1")
    return http_answer(status=status).replace(b"\r\n", location, 1)
