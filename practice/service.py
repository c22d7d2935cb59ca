"""What a practice service is to its manager, and how it is asked whether it is well."""

import contextlib
import dataclasses
import http.client
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from practice import processes, state

if TYPE_CHECKING:
    import grpc

ROOT = Path(__file__).parent.parent
MODELS = ROOT / "data" / "models"
_channels: dict[tuple[str, Any], "grpc.Channel"] = {}  # by address and process


class UnknownService(state.PracticeError):
    """Raised for a name that no practice service has."""


@dataclasses.dataclass(frozen=True)
class Service:
    """One kind of practice service.

    Parameters
    ----------
    name, module : str
        What people call it, and the module that `python -m` runs.
    addresses : dict of str to (int, str)
        For each of its addresses the default port, and how the address is written.
    prepare : callable
        Takes a folder of its own and the folder of the models; writes what the service
        reads at start and returns what is worth telling in services.json.
    arguments : callable
        Takes those same folders and a port for each address; returns the command line's rest.
    answers : callable
        Takes the addresses and a number of seconds; whether a real request was answered.
    told : tuple of str
        What other programs are told in environment variables: keys of the entry or of
        secrets.json.
    paths : dict of str to (str, str)
        More of the entry's addresses: one of those above, and a path there.
    troubled : bool
        Whether a private one can be given trouble.
    on_demand : bool
        Whether it is started only when it is named.
    """

    name: str
    module: str
    addresses: Mapping[str, tuple[int, str]]
    prepare: Callable[[Path, Path], dict[str, Any]]
    arguments: Callable[[Path, Path, Mapping[str, int]], list[str]]
    answers: Callable[[Mapping[str, Any], float], bool]
    told: tuple[str, ...]
    paths: Mapping[str, tuple[str, str]] = dataclasses.field(default_factory=dict)
    troubled: bool = True
    on_demand: bool = False

    @property
    def kind(self) -> str:
        """Which protocol it speaks, as `helpers.endpoints` calls it."""
        return self.name.partition("-")[0]


def ask(
    url: object, seconds: float, *request: Any, authority: Path | None = None
) -> tuple[int, bytes]:
    """Make a request of the host in a URL; returns status and body, 0 without an answer."""
    address = str(url).partition("//")[2].partition("/")[0]
    try:
        if authority is None:
            connection = http.client.HTTPConnection(address, timeout=seconds)
        else:
            context = ssl.create_default_context(cafile=authority)
            connection = http.client.HTTPSConnection(address, timeout=seconds, context=context)
        with contextlib.closing(connection):
            connection.request(*request)
            response = connection.getresponse()
            return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""


def answers_call(entry: Mapping[str, Any], call: Callable[["grpc.Channel"], Any]) -> bool:
    """Whether a call through the entry's channel, which is kept, is answered."""
    import grpc  # 30 ms: `otw practice down` needs none of it

    address = str(entry.get("grpc", ""))
    port = address.rpartition(":")[2]
    key = (address, entry.get("pid"))
    # A channel that was refused once waits before it tries again; a plain connection does not.
    channel = _channels.get(key)
    if channel is None:
        if not port.isdigit() or not processes.accepts(int(port)):
            return False
        # Loopback is never reached through a proxy, whatever the environment says.
        options = [("grpc.enable_http_proxy", 0)]
        channel = _channels[key] = grpc.insecure_channel(address, options=options)
    try:
        call(channel)
    except grpc.RpcError as error:
        # NOT_FOUND is an answer too: that one model could not be loaded, others are served.
        if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.NOT_FOUND:
            return True
        _channels.pop(key, None)
        return False
    return True
