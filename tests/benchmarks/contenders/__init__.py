"""What others wrote for the same work, in a virtual environment of its own: build/contenders."""

import contextlib
import json
import os
import subprocess
import sys
import timeit
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

_ROOT = Path(__file__).parents[3]
_FOLDER = _ROOT / "build" / "contenders"
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")
_VARIABLES = {"no_grpc_proxy": "127.0.0.1", "TF_CPP_MIN_LOG_LEVEL": "2"}
_LONG_ENOUGH = 0.005  # seconds, for a clock to tell them apart
# From here on glibc keeps freed memory up to this size, as in a process that has worked a while;
# otherwise most of the time would go into pages fresh from the system, for some and not others.
bytes(31 << 20)


def python() -> str:
    """Return the contenders' Python; the environment is made when it is not there, or is old."""
    executable = _FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    stamp, wanted = _FOLDER / "requirements.txt", _REQUIREMENTS.read_text()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"Installing the contenders into {_FOLDER} (2 GB) ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", _FOLDER], check=True)
        pip = [str(executable), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", _REQUIREMENTS]).returncode:
            raise SystemExit(
                "pip could not install the contenders; its reason is above. They need network "
                "once. Without it, name the questions to measure: make bench ARGS='import_client'"
            )
        stamp.write_text(wanted)
    return str(executable)


@contextlib.contextmanager
def running(script: str, *arguments: str) -> Iterator[Callable[[str], Callable[[], float]]]:
    """Run a module of this folder in the contenders' Python until the block ends.

    Yields a function that makes a contender of a line: the module is sent that line, and
    answers with the seconds that it took.
    """
    command = [python(), "-m", f"{__name__}.{script}", *arguments]
    process = subprocess.Popen(
        command,
        cwd=_ROOT,
        env=os.environ | _VARIABLES,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def ask(line: str) -> float:
        with contextlib.suppress(BrokenPipeError):  # no answer comes then, either
            print(line, file=process.stdin, flush=True)
        answer = process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise RuntimeError(f"{' '.join(command)} has ended; its reason is above")
        return json.loads(answer)["seconds"]

    try:
        yield lambda line: lambda: ask(line)
    finally:
        process.kill()
        process.communicate()


def per_call(function: Callable[[], object]) -> Callable[[], float]:
    """Return a contender: the seconds of one call, out of as many as a clock needs.

    Each time three such series are run and the best counts: the first one finds the caches as
    another contender left them.
    """
    timer = timeit.Timer(function)
    number = max(1, int(_LONG_ENOUGH / min(timer.repeat(5, 1))))
    return lambda: min(timer.repeat(3, number)) / number


def array(shape: Sequence[int]) -> np.ndarray:
    """Return the numbers that all contenders get."""
    return np.random.default_rng(9).random(shape, np.float32)


def answer(cases: dict[str, Callable[[], object]]) -> None:
    """Be the module that is asked: for each line on the input, time the case of that name."""
    contenders = {name: per_call(case) for name, case in cases.items()}
    for line in sys.stdin:
        print(json.dumps({"seconds": contenders[line.strip()]()}), flush=True)
