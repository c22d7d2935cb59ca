"""A classroom: no network but this machine's own, and proxies that lead nowhere."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
PROXIES = ["http_proxy", "https_proxy", "all_proxy", "grpc_proxy"]
SANITIZE = ROOT / "tests" / "nbval-sanitize.cfg"
DEAD = "http://127.0.0.1:9"


def namespace() -> list[str]:
    """Return the words that run a command with loopback only, or skip the test."""
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("not run: this system has no unshare or no ip")
    words = ["unshare", "-rn", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("not run: network namespaces cannot be had here")
    return words


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, pytest.param(2, marks=pytest.mark.nightly)])
def test_every_notebook_runs_in_any_order_with_loopback_only(times: int, tmp_path: Path) -> None:
    words = namespace()
    paths = [str(path) for path in sorted((ROOT / "notebooks").glob("*.ipynb"))] * times
    seed = random.randrange(10**6)
    random.Random(seed).shuffle(paths)
    environment = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    for name in PROXIES:
        environment[name] = environment[name.upper()] = DEAD
    done = subprocess.run(
        [
            *words,
            sys.executable,
            "-m",
            "pytest",
            "-q",
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--nbval-sanitize-with={SANITIZE}",
            "--keep-duplicates",
            *paths,
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"order of seed {seed}:\n{done.stdout[-5000:]}{done.stderr}"
    cells = [cell for path in paths for cell in nbformat.read(path, as_version=4).cells]
    run = sum(cell.cell_type == "code" for cell in cells)
    assert f"{run} passed" in done.stdout


def test_the_namespace_has_no_way_out() -> None:
    probe = "import socket; socket.create_connection(('192.0.2.1', 80), timeout=5)"
    done = subprocess.run(
        [*namespace(), sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert "Network is unreachable" in done.stderr
