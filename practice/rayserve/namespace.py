"""A network of its own for Ray, which listens on every address of the machine it is on.

In a network namespace these are addresses that nobody outside of it reaches, neither another
machine nor another program here. Any user of Linux may have one, unless the machine forbids it.
"""

import ctypes
import os
import socket
import struct
from pathlib import Path

# linux/sched.h, linux/sockios.h, linux/if.h and linux/prctl.h
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_PR_SET_CHILD_SUBREAPER = 36


def enter() -> None:
    """Move this process, and those that it starts, into a network with nothing but loopback.

    A socket that is bound already still belongs to the network before. Only a process with one
    thread can do it.

    Raises
    ------
    OSError
        When the machine does not let this user have one.
    """
    import fcntl  # Windows has none, and no namespaces

    user, group = os.getuid(), os.getgid()
    _call("unshare", _CLONE_NEWUSER | _CLONE_NEWNET)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket() as control:
        request = struct.pack("16sh22x", b"lo", _IFF_UP)  # struct ifreq
        fcntl.ioctl(control, _SIOCSIFFLAGS, request)


def adopt() -> None:
    """Become the parent of whatever loses its own parent below this process."""
    _call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _call(name: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*map(ctypes.c_ulong, arguments)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
