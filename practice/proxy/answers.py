"""What servers send back on its way through the proxy, and where its middle is."""

import re

HEAD_LIMIT = 65536  # bytes


class PlainAnswer:
    """An HTTP answer. Its head is read; its body passes as it comes.

    Parameters
    ----------
    method : bytes
        Of the request.
    cut : bool
        Let it pass as far as the middle of its body. Of an answer without a body nothing
        passes: it would look whole.
    """

    def __init__(self, method: bytes, cut: bool) -> None:
        self.status = 0
        self.over = False  # whether the middle is reached
        self._bodiless = method == b"HEAD"
        self._cut = cut
        self._head: bytes | None = b""
        self._to_middle: int | None = None  # bytes of the body; None: not known yet

    @property
    def begun(self) -> bool:
        """Whether any of it has gone on."""
        return self._head is None

    def asked(self, raw: bytes) -> None:
        """Take what the client sent."""

    def passing(self, raw: bytes) -> bytes:
        """Take what the server sent; returns what of it goes on now."""
        if self._head is None:
            return self._half(raw)
        head, end, body = (self._head + raw).partition(b"\r\n\r\n")
        if not end and len(head) <= HEAD_LIMIT:
            self._head = head
            return b""
        line = re.match(rb"HTTP/1\.\d (\d{3})", head)
        status = int(line[1]) if line and end else 0
        if 100 <= status < 200 and status != 101:  # the answer proper is yet to come
            self._head = b""
            return head + end + self.passing(body)
        self._head = None
        if not status:
            return self._half(head + end + body)  # who knows what it is
        self.status = status
        length = re.search(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(\r|$)", head, re.I)
        self._to_middle = int(length[1]) // 2 if length else None
        bodiless = self._bodiless or status in (204, 304) or bool(length and int(length[1]) == 0)
        self.over = self._cut and bodiless
        return b"" if self.over else _closing(head, status) + end + self._half(body)

    def _half(self, body: bytes) -> bytes:
        if not self._cut or not body:
            return body
        if self._to_middle is None:
            self._to_middle = len(body) // 2
        self.over = len(body) > self._to_middle
        half = body[: self._to_middle]
        self._to_middle -= len(half)
        return half


class TunnelAnswer:
    """What comes back through a tunnel, which nobody here can read.

    Parameters
    ----------
    cut : bool
        Let the greeting pass with which TLS and HTTP/2 begin, and half of what comes next.
    """

    _GREETINGS = (b"\x16\x03", b"PRI ")

    def __init__(self, cut: bool) -> None:
        self.over = False
        self._cut = cut
        self._turns = 0
        self._asking = False
        self._greeting = 1  # turns of the client that belong to it, if the server did not begin

    def asked(self, raw: bytes) -> None:
        """Take what the client sent."""
        if not self._asking:
            self._turns += 1
            self._asking = True
            if self._turns == 1 and not raw.startswith(self._GREETINGS):
                self._greeting = 0

    def passing(self, raw: bytes) -> bytes:
        """Take what the server sent; returns what of it goes on now."""
        if not self._turns:
            self._greeting = 0  # this is it: an HTTP/2 server need not wait for its client
        self._asking = False
        self.over = self._cut and self._turns > self._greeting
        return raw[: len(raw) // 2] if self.over else raw


def _closing(head: bytes, status: int) -> bytes:
    """Say that this is the connection's last answer, whatever the server said of its own."""
    if status == 101:  # from here on the two speak something else
        return head
    lines = head.split(b"\r\n")
    kept = [line for line in lines if not re.match(rb"(connection|keep-alive)[ \t]*:", line, re.I)]
    return b"\r\n".join([*kept, b"Connection: close"])
