"""Who is at the other end of a loopback connection, so that other users of a machine stay outside.

Only Linux tells. Elsewhere, and where its kernel does not tell either, everybody is admitted.
"""

import functools
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    from practice.host.students import Students

REFUSAL = (
    "This service answers the programs of the user who started it, at 127.0.0.1 or localhost. "
    "Start one of your own: otw practice up."
)
# linux/netlink.h, sock_diag.h and inet_diag.h. /proc/net/tcp tells the same, but takes 2 ms
# where this takes 5 µs, so that each call can be looked at.
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")
_ENDS = struct.Struct(">HH16s16s")
_NO_COOKIE = struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
_FAMILY = struct.pack("=BBBxI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
_SIZE = _HEADER.size + len(_FAMILY) + _ENDS.size + len(_NO_COOKIE)
_QUESTION = _HEADER.pack(_SIZE, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + _FAMILY
_UID_AND_INODE = struct.Struct("=II")
_UID_OFFSET = 80
# Asked at each call, it would be 5 % of the shortest. So soon nobody else gets the port, unless
# the connection was reset: it rests for a second after its end.
_SOON = 0.1  # seconds
_NEVER = (-_SOON, 0)
_MOST = 1000  # connections
_METHODS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")

Address = tuple[str, int]


class Peers:
    """Admits the programs of some users, and of root.

    Parameters
    ----------
    uids : container of int
        Their numbers.
    refusal : str
        What everybody else is answered.
    students : Students, optional
        Those of a class, some of whom may come through its door.

    Attributes
    ----------
    hosts : tuple of str
        What that door is called, beside this machine's own names.
    """

    def __init__(
        self,
        uids: Container[int],
        refusal: str = REFUSAL,
        students: "Students | None" = None,
    ) -> None:
        self.refusal = refusal
        self.hosts: tuple[str, ...] = ()
        self._students = students
        self._uids = uids
        # When, and who, of those admitted.
        self._asked: dict[tuple[Address, Address], tuple[float, int]] = {}
        self._kernel = _Kernel() if sys.platform == "linux" and _tells_of_our_own() else None

    @property
    def tells(self) -> bool:
        """Whether this system tells who is at the other end."""
        return self._kernel is not None

    def admits(self, peer: Address, own: Address) -> bool:
        """Whether a connection is an admitted program's.

        Parameters
        ----------
        peer, own : tuple of str and int
            The IPv4 addresses and ports of its two ends.
        """
        student = self.remote(peer)
        if student is not None:
            return bool(student)
        if self._kernel is None:
            return True
        uid = self.uid(peer, own)
        return uid is not None and self._is_one(uid)

    def remote(self, peer: Address) -> str | None:
        """Return the student behind a connection of a class's door; see `Students.behind`."""
        return self._students.behind(peer) if self._students else None

    def student(self, peer: Address, own: Address) -> str:
        """Return whose a connection is in a class, see `students.Call`."""
        assert self._students  # noqa: S101  (for mypy)
        return self.remote(peer) or self._students.of(self.uid(peer, own))

    def uid(self, peer: Address, own: Address) -> int | None:
        """Return the user of a connection's other end; None when it has gone, or nobody tells."""
        if self._kernel is None:
            return None
        now = time.monotonic()
        asked, uid = self._asked.get((peer, own), _NEVER)
        if now - asked < _SOON:
            return uid
        told = self._kernel.uid(peer, own)
        if told is not None and self._is_one(told):
            if len(self._asked) >= _MOST:
                self._asked.clear()
            self._asked[peer, own] = now, told
        return told

    def _is_one(self, uid: int) -> bool:
        return uid == 0 or uid in self._uids

    def guard(self, own: Address, students: "Students | None" = None) -> "Guard":
        """Return what a gRPC server that listens there needs, to answer only those admitted."""
        return Guard(self, own, students)


def of_this_user() -> Peers:
    """Return what admits the user that runs this process."""
    return Peers([os.geteuid()] if hasattr(os, "geteuid") else [])


class _Kernel:
    """Linux, asked about sockets."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG)
        self._lock = threading.Lock()

    def uid(self, peer: Address, own: Address) -> int | None:
        """Return the user of the program at a connection's other end; None when it has gone."""
        ends = _ENDS.pack(peer[1], own[1], socket.inet_aton(peer[0]), socket.inet_aton(own[0]))
        with self._lock:  # the answer is there as soon as it is sent
            self._socket.send(_QUESTION + ends + _NO_COOKIE)
            answer = self._socket.recv(4096)
        if _HEADER.unpack_from(answer)[1] != _SOCK_DIAG_BY_FAMILY:
            return None
        uid, inode = _UID_AND_INODE.unpack_from(answer, _UID_OFFSET)
        return uid if inode else None  # a closed socket has none, and may count as root's


def _tells_of_our_own() -> bool:
    """Whether this kernel tells: some containers' do not."""
    try:
        with (
            socket.create_server(("127.0.0.1", 0)) as listener,
            socket.create_connection(listener.getsockname()) as client,
        ):
            return _Kernel().uid(client.getsockname(), listener.getsockname()) == os.geteuid()
    except OSError:
        return False


class Guard(grpc.ServerInterceptor):
    """Answers PERMISSION_DENIED to everybody else's calls.

    Parameters
    ----------
    peers : Peers
    own : tuple of str and int
        Where the server listens.
    students : Students, optional
        Whose calls are counted.
    """

    def __init__(self, peers: Peers, own: Address, students: "Students | None" = None) -> None:
        self._peers = peers
        self._own = own
        self._students = students
        self._handler = functools.lru_cache(self._make_handler)  # a call does not wait for it

    def intercept_service(self, continuation: Callable, handler_call_details: Any) -> Any:
        return self._handler(continuation(handler_call_details), handler_call_details.method)

    def _make_handler(self, handler: Any, name: str) -> Any:
        for method in _METHODS:
            if behavior := getattr(handler, method, None):
                make = getattr(grpc, f"{method}_rpc_method_handler")
                guarded = self._guarded(behavior, name)
                return make(guarded, handler.request_deserializer, handler.response_serializer)
        return handler

    def _guarded(self, behavior: Callable, name: str) -> Callable:
        students = self._students

        @functools.wraps(behavior)  # health's Watch has attributes that say how it is called
        def guarded(request: Any, context: grpc.ServicerContext, *send: Callable) -> Any:
            protocol, _, address = context.peer().partition(":")
            host, _, port = address.rpartition(":")
            # Who may open a UNIX socket, its file says.
            ends = ((host, int(port)), self._own) if protocol == "ipv4" else None
            if ends and not self._peers.admits(*ends):
                context.abort(grpc.StatusCode.PERMISSION_DENIED, self._peers.refusal)
            if students is None:
                return behavior(request, context, *send)
            student = self._peers.student(*ends) if ends else students.of(None)
            with students.calling(student, name.lstrip("/")) as call:
                response = behavior(request, context, *send)
                call.failed = False
                return response

        return guarded
