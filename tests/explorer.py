"""What the tests of the Explorer's code to paste share: it is run as it stands."""

import ast
import base64
import contextlib
import io
import json
import os
import pickle
import re
import runpy
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import requests

from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, Preview

SH = sys.platform != "win32" and shutil.which("curl") and shutil.which("sh")
_RUN = (
    "import json, pickle, runpy, sys; found = runpy.run_path(sys.argv[1]); "
    "pickle.dump({name: found[name] for name in ('outputs', 'answer') if name in found}, "
    "open('found.pickle', 'wb'))"
)


def run(found: Preview, title: str, folder: Path, **variables: str) -> Any:
    """Run a preview as it stands, in a fresh process; returns what it ends with."""
    put_files(found, folder)
    if title == CURL:
        words = ["sh", "-c", found.code[CURL]]
    else:
        (folder / "call.py").write_text(found.code[title], encoding="utf-8")
        words = [sys.executable, "-c", _RUN, "call.py"]
    done = subprocess.run(
        words,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=folder,
        env=os.environ | variables,
    )
    told = done.stdout.decode()
    assert done.returncode == 0, found.code[title][:5000] + told + done.stderr.decode()
    assert told.strip()
    if title == CURL:
        return told
    return next(iter(pickle.loads((folder / "found.pickle").read_bytes()).values()))


def curl(found: Preview, folder: Path, **variables: str) -> Any:
    """Run curl's command in a shell; returns the JSON that it prints."""
    return json.loads(run(found, CURL, folder, **variables))


def run_here(found: Preview, title: str, folder: Path) -> Any:
    """Run a preview's Python in this process, which is faster; returns what it ends with."""
    put_files(found, folder)
    (folder / "call.py").write_text(found.code[title], encoding="utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as told:
        ends = runpy.run_path("call.py")
    assert told.getvalue().strip()
    return ends["outputs"] if "outputs" in ends else ends["answer"]


@contextlib.contextmanager
def posted_to() -> Iterator[tuple[str, list[bytes]]]:
    """Give an address, and what is posted to it: each answer is an empty object."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", bodies
        server.shutdown()


def put_files(found: Preview, folder: Path) -> None:
    """Write the files that a preview's code reads."""
    for name, content in found.files.items():
        (folder / name).write_bytes(content())


def before(code: str, line: str) -> dict[str, Any]:
    """Run a program up to the line that calls; returns what it has defined."""
    start, found, _ = code.partition(line)
    assert found, code
    defined: dict[str, Any] = {}
    exec(compile(start, "preview", "exec"), defined)
    return defined


def json_of(found: Preview) -> str:
    """Return the JSON that is shown, or the file's that is too long to be shown."""
    return found.code.get(JSON) or found.files["body.json"]().decode()


def post_json(found: Preview) -> Any:
    """Post the JSON to the address that the other code has."""
    [url] = re.findall(r"^url = (.*)$", found.code[REQUESTS], re.MULTILINE)
    return requests.post(ast.literal_eval(url), json_of(found).encode(), timeout=30).json()


def assert_grpc(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> None:
    """Compare arrays, all of whose bits count."""
    assert outputs.keys() == expected.keys()
    assert all(same_values(outputs[name], expected[name]) for name in expected)


def same_values(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether dtypes, shapes and values are the same."""
    return (one.dtype, one.shape, one.tolist()) == (other.dtype, other.shape, other.tolist())


def assert_json(outputs: Any, expected: Mapping[str, np.ndarray], rtol: float = 1e-6) -> None:
    """Compare what JSON has with arrays; an output that is alone has no name there."""
    if len(expected) == 1:
        outputs = {next(iter(expected)): outputs}
    assert outputs.keys() == expected.keys()
    for name, array in expected.items():
        found = np.array(outputs[name], object)
        if array.dtype.kind == "O":
            assert [decoded(each) for each in found.ravel()] == array.ravel().tolist()
        else:
            found = np.array(outputs[name], array.dtype)
            np.testing.assert_allclose(found, array, rtol=rtol)
        assert found.shape == array.shape


def decoded(value: Any) -> bytes:
    """Return text, or bytes as `b64`, as bytes."""
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()


def assert_all_the_same(
    found: Preview,
    expected: Mapping[str, np.ndarray],
    folder: Path,
    *,
    fresh: bool = False,
    rtol: float = 0.0,
) -> None:
    """Run every preview there is; each gives the expected outputs.

    Parameters
    ----------
    fresh : bool
        Whether Python runs in a process of its own.
    rtol : float
        By which numbers in JSON may differ.
    """
    python = run if fresh else run_here
    if GRPC in found.code:
        assert_grpc(python(found, GRPC, folder), expected)
    if REQUESTS not in found.code:
        return
    assert_json(python(found, REQUESTS, folder), expected, rtol)
    answer = post_json(found)
    assert_json(answer["outputs"], expected, rtol)
    if SH:
        assert curl(found, folder) == answer
