"""The house as a whole: what stands at the top, and that nothing imports in a circle."""

import ast
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["otw", "workbench", "practice", "helpers", "protos"]
# Everything that may stand at the top of the repository, and why.
TOP = {
    "README.md": "what it is, on one page",
    "README.zh-CN.md": "the same in Chinese",
    "LICENSE": "what one may do with the code",
    "LICENSE-prose": "what one may do with the texts",
    "CONTRIBUTING.md": "how to take part; GitHub looks for it here",
    "CODE_OF_CONDUCT.md": "how to be with each other; GitHub looks for it here",
    "CHANGELOG.md": "what a user notices, by versions",
    "CITATION.cff": "how to cite it; GitHub looks for it here",
    "Makefile": "make looks for it here",
    "pyproject.toml": "pip, ruff, mypy, pytest and import-linter look for it here",
    "requirements.txt": "the lock, for `pip install -r`",
    "requirements": "the rest of the lock: what `make test` and the like add to it",
    "environment.yml": "conda looks for it here",
    "conftest.py": "pytest looks for it here",
    "otw": "the command",
    "workbench": "what one looks and measures with",
    "practice": "the local services",
    "helpers": "the calls",
    "protos": "messages and stubs",
    "notebooks": "the chapters",
    "data": "images, audio, models, and how each was made",
    "docs": "what README need not say",
    "tests": "the tests, in the folders of the house",
    ".ci": "what CI runs",
    ".github": "GitHub looks for workflows here",
    ".devcontainer": "VS Code and Codespaces look for it here",
    "binder": "Binder looks for it here",
    ".gitignore": "git looks for it here",
    ".jupyter": "how `otw lab` sets JupyterLab",
}


def test_nothing_else_stands_at_the_top() -> None:
    listed = subprocess.run(
        ["git", "ls-files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        pytest.skip("not run: this is no git checkout")
    assert {line.partition("/")[0] for line in listed.stdout.splitlines()} == TOP.keys()


def test_no_module_imports_in_a_circle() -> None:
    graph = grimp.build_graph(*ROOMS, exclude_type_checking_imports=True)
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            chain = graph.find_shortest_chain(importer=imported, imported=module)
            assert chain is None, f"{module} imports {' imports '.join(chain or ())}"


def test_who_has_sentences_translated_names_nothing_else_so() -> None:
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        names = [n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Name)]
        used = {(name.id, type(name.ctx)) for name in names}
        assert not {("_", ast.Load), ("_", ast.Store)} <= used, f"{path}: _ is also a value's name"


def test_each_error_that_a_person_reads_can_be_translated() -> None:
    raised = {"BadInput", "AskedWrongly", "NoCode"}
    for path in (path for room in ("workbench", "otw") for path in (ROOT / room).rglob("*.py")):
        for call in (n for n in ast.walk(ast.parse(path.read_bytes())) if isinstance(n, ast.Call)):
            if ast.unparse(call.func).rpartition(".")[2] in raised:
                raw = [argument for argument in call.args if _has_words(argument)]
                assert not raw, f"{path}:{call.lineno} has a sentence without _(...)"


def test_no_sentence_stands_within_an_f_string() -> None:
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        tree = ast.parse(path.read_bytes())
        within = (
            part for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for part in ast.walk(n)
        )
        called = {ast.unparse(part.func) for part in within if isinstance(part, ast.Call)}
        assert not called & {"_", "plural"}, f"{path}: gettext's tools do not look into f-strings"


def _has_words(argument: ast.AST) -> bool:
    """Whether words are spelled out in it, other than in a call such as `_("...")`."""
    if isinstance(argument, ast.Call | ast.FormattedValue):
        return False
    if isinstance(argument, ast.Constant):
        return isinstance(argument.value, str) and any(map(str.isalpha, argument.value))
    return any(_has_words(part) for part in ast.iter_child_nodes(argument))


def test_an_installed_wheel_says_that_the_notebooks_are_in_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    code = "import sys; from otw.cli import main; sys.exit(main(['lab']))"
    elsewhere = "import sys; sys.path.insert(0, sys.argv[1]); " + code
    done = subprocess.run(
        [sys.executable, "-P", "-c", elsewhere, str(wheel)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("otw: The notebooks and the data are in the repository")
    assert len(done.stderr.splitlines()) == 1
