"""Practice services of one's own, to change or break without another reader noticing."""

import atexit
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from practice import launch, manager, processes, services, state

if TYPE_CHECKING:
    from helpers.endpoints import Endpoint


@contextlib.contextmanager
def private(
    name: str,
    *,
    models: str | os.PathLike[str] | None = None,
    profile: str = "practice",
    flags: Sequence[str] = (),
) -> Iterator["Endpoint"]:
    """Run an instance of your own.

    It has its own ports and its own copy of the models, and ends with the block or, should
    the block never end, with this program.

    Parameters
    ----------
    name : str
        Such as `"tfserving"`.
    models : path, optional
        Serve this folder of models, as it is, in place of a copy of `data/models`.
    profile : str
        Which of the service's profiles to yield: `"practice-secure"` of `"ccai"`, for instance.
    flags : list of str
        More words for its command line, such as `--token_lifetime_seconds=0` of `"modelarts"`.

    Yields
    ------
    Endpoint
        Where it is.

    Raises
    ------
    PracticeError
        When it cannot be started; the text has the last lines of its log.

    Examples
    --------
    >>> with practice.private("tfserving") as endpoint:  # doctest: +SKIP
    ...     tfserving.status(endpoint)
    """
    from helpers import endpoints

    service = services.get(name)
    folder = _make_folder(name)
    with contextlib.ExitStack() as stack:
        atexit.register(stack.close)
        stack.callback(atexit.unregister, stack.close)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        if models is None:
            models = folder / "models"
            shutil.copytree(services.MODELS, models)
        own = launch.Launch(service, folder, Path(models), private=True, flags=flags)
        stack.callback(own.end)
        launch.bring_up([own])
        manager.bypass_proxy()
        known = own.entry | state.read_secrets(service.name, folder)
        yield endpoints.from_entry(service.name, known, profile)


def _make_folder(name: str) -> Path:
    """Make the instance's folder, and remove those whose program was killed."""
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
