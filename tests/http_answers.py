"""What another web server than the practice services would answer."""

import http.client


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
