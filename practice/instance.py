"""Practice services of one's own, to change or break without another reader noticing."""

import atexit
import contextlib
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from helpers import progress as bars
from helpers.endpoints import Endpoint
from helpers.language import _
from practice import launch, manager, processes, services, state
from practice.host import trouble
from practice.launch import MODELS
from practice.proxy.log import Proxy


class PrivateEndpoint(Endpoint):
    """The endpoint of a private service: it can be given trouble, and killed."""

    _own: launch.Launch

    @classmethod
    def of(cls, endpoint: Endpoint, own: launch.Launch) -> "PrivateEndpoint":
        """Make one of an endpoint, and the service behind it."""
        made = cls(**dataclasses.asdict(endpoint))
        object.__setattr__(made, "_own", own)
        return made

    def kill(self) -> None:
        """End the service at once, in the middle of whatever it does."""
        if self._own.process:
            self._own.process.kill()
            self._own.process.wait()

    def trouble(self, **faults: Any) -> None:
        """Say what is wrong with the service from now on; nothing, when nothing is given.

        Parameters
        ----------
        **faults
            `delay`, `fail`, `cut`, `rate` and `calls`, as in `practice.host.trouble.Trouble`.

        Raises
        ------
        PracticeError
            For a fault that there is not, and when the service has ended.
        """
        if not self._own.folder.exists():
            raise state.PracticeError(
                _("This private service has ended. Run the cell that starts it again.")
            )
        try:
            wanted = trouble.Trouble(**faults) if faults else trouble.Trouble(rate=0.0)
        except TypeError as error:
            raise state.PracticeError(
                _("There are delay, fail, cut, rate and calls: {error}.", error=error)
            ) from error
        trouble.write(self._own.folder / launch.TROUBLE, wanted)


@overload
def private(  # type: ignore[overload-overlap]
    name: Literal["proxy"], *, flags: Sequence[str] = ()
) -> contextlib.AbstractContextManager[Proxy]: ...


@overload
def private(
    name: str,
    *,
    models: str | os.PathLike[str] | None = None,
    profile: str = "",
    flags: Sequence[str] = (),
) -> contextlib.AbstractContextManager[PrivateEndpoint]: ...


@contextlib.contextmanager
def private(
    name: str,
    *,
    models: str | os.PathLike[str] | None = None,
    profile: str = "",
    flags: Sequence[str] = (),
) -> Iterator[Any]:
    """Run an instance of your own.

    It has its own ports and its own copy of the models, and ends with the block or, should
    the block never end, with this program.

    Parameters
    ----------
    name : str
        Such as `"tfserving"`.
    models : path, optional
        Serve this folder of models, as it is, in place of a copy of `data/models`. Of
        `"tfserving"` those that have a `model.tflite`, of `"tfserving-tf"` all.
    profile : str, optional
        Which of the service's profiles to yield, `"practice-secure"` of `"ccai"` for instance;
        the first without it.
    flags : list of str
        More words for its command line, such as `--token_lifetime_seconds=0` of `"modelarts"`.

    Yields
    ------
    PrivateEndpoint
        Where it is; `trouble` puts faults into it. Of `"proxy"` a `Proxy` in its place, which
        has a `url` and a `log()`.

    Raises
    ------
    PracticeError
        When it cannot be started; the text has the last lines of its log.

    Examples
    --------
    >>> with practice.private("tfserving") as endpoint:  # doctest: +SKIP
    ...     tfserving.status(endpoint)
    """
    service = services.get(name)
    folder = make_folder(name)
    with contextlib.ExitStack() as stack:
        atexit.register(stack.close)
        stack.callback(atexit.unregister, stack.close)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if models is None:
            models = folder / "models"
            shutil.copytree(MODELS, models)
        own = launch.Launch(service, folder, Path(models), private=True, flags=flags)
        stack.callback(own.end)
        with bars.waiting(_("Starting {names}", names=name), launch.LIMIT) as tick:
            launch.bring_up([own], tick=tick)
        manager.bypass_proxy()
        if service.name == "proxy":
            account = state.read_secrets("proxy", folder) if "--authenticate" in flags else {}
            yield Proxy(own.entry["http"], folder, **account)
        else:
            profile = profile or next(iter(own.endpoints))
            if profile not in own.endpoints:
                raise state.PracticeError(
                    _(
                        "{name} has no profile {profile!r}. It has: {names}.",
                        name=name,
                        profile=profile,
                        names=", ".join(own.endpoints),
                    )
                )
            yield PrivateEndpoint.of(own.endpoints[profile], own)


def make_folder(name: str) -> Path:
    """Make a folder for an instance, and remove those whose program was killed."""
    parent = state.make_folder(state.make_folder(state.folder()) / "private")
    for folder in parent.iterdir():
        owner = state.read_json(folder / "owner.json")
        if owner and not processes.find(owner):
            shutil.rmtree(folder, ignore_errors=True)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=parent))
    except OSError as error:
        raise state.unwritable(parent, error) from error
    state.write_json(folder / "owner.json", processes.record(os.getpid()))
    return folder
