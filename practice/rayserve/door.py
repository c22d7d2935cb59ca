"""The way in: bytes between a loopback port of this machine and Ray's proxy in its own network."""

import asyncio
import contextlib
import threading

from practice.host import limits, server, streams

_CHUNK = 2**18  # bytes


class Door:
    """Carries connections inside, as they are; it answers once `start` is called.

    Parameters
    ----------
    port : int
        Bound at once, so that it stays on this side when the process moves.
    inside : tuple of str and int
        Where Ray's proxy listens.
    activity : Activity
        Told of what comes, and whose connections are taken.

    Raises
    ------
    OSError
        When the port is taken.
    """

    def __init__(self, port: int, inside: tuple[str, int], activity: server.Activity) -> None:
        self._inside = inside
        self._activity = activity
        self._open: set[asyncio.Task] = set()
        self._socket = streams.bind(server.LOOPBACK, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="door", daemon=True)

    def start(self) -> None:
        """Begin to take connections."""
        self._thread.start()
        opening = asyncio.start_server(self._carry, sock=self._socket, limit=_CHUNK)
        asyncio.run_coroutine_threadsafe(opening, self._loop).result()

    def stop(self) -> None:
        """Cut all connections off."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers = self._activity.peers
        ends = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
        too_many = len(self._open) >= limits.connections()
        if too_many or (peers and not peers.admits(*ends)):
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  (for mypy)
        self._open.add(task)
        try:
            inner_reader, inner_writer = await asyncio.open_connection(*self._inside, limit=_CHUNK)
            await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))
        except OSError as error:
            server.log.warning("Ray's proxy does not answer: %s", error)
        finally:
            writer.close()
            self._open.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                self._activity.notice()
                writer.write(data)
                await writer.drain()
        writer.close()
