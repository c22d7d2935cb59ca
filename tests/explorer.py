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

from protos import official
from workbench.code.previews import CURL, GRPC, JSON, REQUESTS, Preview

SH = sys.platform != "win32" and shutil.which("curl") and shutil.which("sh")
ROOMS = ("otw", "workbench", "practice", "helpers", "protos")
_ALONE = f"import sys; sys.modules.update(dict.fromkeys({ROOMS}))\n"  # none can be imported
_RUN = (
    "import json, pickle, runpy, sys; found = runpy.run_path(sys.argv[1]); "
    "pickle.dump({name: found[name] for name in ('outputs', 'answer') if name in found}, "
    "open('found.pickle', 'wb'))"
)


def run(preview: Preview, title: str, folder: Path, **variables: str) -> Any:
    """Run a preview as it stands, in a fresh process; returns what it ends with.

    That process has official packages only. Of TensorFlow Serving over gRPC, it has this project's
    where TensorFlow, which comes with the official package, is not installed.
    """
    put_files(preview, folder)
    alone = title != GRPC or "tensorflow" not in preview.code[GRPC] or official.has_tensorflow()
    if title == CURL:
        words = ["sh", "-c", preview.code[CURL]]
    else:
        (folder / "call.py").write_text(preview.code[title], encoding="utf-8")
        words = [sys.executable, "-c", (_ALONE if alone else "") + _RUN, "call.py"]
    done = subprocess.run(
        words,
        capture_output=True,
        check=False,
        timeout=60,
        cwd=folder,
        env=os.environ | variables,
    )
    printed = done.stdout.decode()
    assert done.returncode == 0, preview.code[title][:5000] + printed + done.stderr.decode()
    assert printed.strip()
    if title == CURL:
        return printed
    return next(iter(pickle.loads((folder / "found.pickle").read_bytes()).values()))


def curl(preview: Preview, folder: Path, **variables: str) -> Any:
    """Run curl's command in a shell; returns the JSON that it prints."""
    return json.loads(run(preview, CURL, folder, **variables))


def run_here(preview: Preview, title: str, folder: Path) -> Any:
    """Run a preview's Python in this process, which is faster; returns what it ends with."""
    put_files(preview, folder)
    (folder / "call.py").write_text(preview.code[title], encoding="utf-8")
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()) as printed:
        names = runpy.run_path("call.py")
    assert printed.getvalue().strip()
    return names["outputs"] if "outputs" in names else names["answer"]


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


def put_files(preview: Preview, folder: Path) -> None:
    """Write the files that a preview's code reads."""
    for name, content in preview.files.items():
        (folder / name).write_bytes(content())


def before(code: str, line: str) -> dict[str, Any]:
    """Run a program up to the line that calls; returns what it has defined."""
    start, separator, _ = code.partition(line)
    assert separator, code
    defined: dict[str, Any] = {}
    exec(compile(start, "preview", "exec"), defined)
    return defined


def json_of(preview: Preview) -> str:
    """Return the JSON that is shown, or the file's that is too long to be shown."""
    return preview.code.get(JSON) or preview.files["body.json"]().decode()


def post_json(preview: Preview) -> Any:
    """Post the JSON to the address that the other code has."""
    [url] = re.findall(r"^url = (.*)$", preview.code[REQUESTS], re.MULTILINE)
    return requests.post(ast.literal_eval(url), json_of(preview).encode(), timeout=30).json()


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
        output = np.array(outputs[name], object)
        if array.dtype.kind == "O":
            assert [decoded(text) for text in output.ravel()] == array.ravel().tolist()
        else:
            output = np.array(outputs[name], array.dtype)
            np.testing.assert_allclose(output, array, rtol=rtol)
        assert output.shape == array.shape


def decoded(value: Any) -> bytes:
    """Return text, or bytes as `b64`, as bytes."""
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value.encode()


def assert_all_the_same(
    preview: Preview,
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
    if GRPC in preview.code:
        assert_grpc(python(preview, GRPC, folder), expected)
    if REQUESTS not in preview.code:
        return
    assert_json(python(preview, REQUESTS, folder), expected, rtol)
    answer = post_json(preview)
    assert_json(answer["outputs"], expected, rtol)
    if SH:
        assert curl(preview, folder) == answer
