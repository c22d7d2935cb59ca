"""Ports for asyncio, and bytes carried between two connections as they are.

That is how a student's calls come to a class's service.
"""

import asyncio
import contextlib
import socket
import sys

CHUNK = 2**16  # bytes that are read at once; of a connection that nobody reads from, no more wait
# In place of h2 or http/1.1: inside is what the loopback port speaks, TLS too.
TUNNEL = "otw-tunnel"
ADMITTED = b"+"  # the first byte of a tunnel's answer; without it nobody was let in

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def bind(host: str, port: int) -> socket.socket:
    """Bind a port for asyncio; OSError when it is taken."""
    # Named as TCP, or asyncio would leave Nagle's algorithm on: 40 ms for each answer.
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform == "win32":
        own.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
        # Else a port whose service was just stopped would count as taken for a minute.
        own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((host, port))
    except OSError:
        own.close()
        raise
    return own


async def carry(one: Stream, other: Stream) -> None:
    """Carry bytes in both directions until one of the two connections ends, and close both."""
    pumps = [
        asyncio.ensure_future(_pump(one[0], other[1])),
        asyncio.ensure_future(_pump(other[0], one[1])),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    except asyncio.CancelledError:
        for _, writer in (one, other):
            writer.transport.abort()  # what nobody reads is not waited for
        raise
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for _, writer in (one, other):
            await close(writer)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection once all that was written to it has gone."""
    writer.close()
    with contextlib.suppress(OSError):  # it ended by itself
        await writer.wait_closed()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
