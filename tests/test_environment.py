"""The ways to install agree: pyproject.toml, environment.yml, the lock, the Makefile."""

import importlib.metadata
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
LOCKS = {
    path.stem: path.read_text(encoding="utf-8")
    for path in (ROOT / "requirements.txt", *(ROOT / "requirements").glob("*.txt"))
}
GROUPS = PROJECT["dependency-groups"]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")]


def bounds(lines: list[str]) -> set[tuple[str, str, str]]:
    parsed = map(Requirement, lines)
    return {(canonicalize_name(r.name), str(r.specifier), str(r.marker)) for r in parsed}


def test_conda_has_the_names_and_bounds_of_the_project() -> None:
    (pip,) = (each["pip"] for each in CONDA["dependencies"] if isinstance(each, dict))
    assert "--editable ." in pip
    conda = bounds([line for line in pip if not line.startswith("-")])
    assert conda == bounds(PROJECT["project"]["dependencies"] + GROUPS["test"])


def test_conda_gives_a_python_that_the_project_takes() -> None:
    assert f"python{PROJECT['project']['requires-python']}" in CONDA["dependencies"]


def locked() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", "".join(LOCKS.values()), re.M):
        found.setdefault(canonicalize_name(name), set()).add(version)
    return found


def test_the_lock_holds_everything_within_its_bounds() -> None:
    wanted = PROJECT["project"]["dependencies"] + [r for group in GROUPS.values() for r in group]
    versions = locked()
    for requirement in map(Requirement, wanted + PROJECT["build-system"]["requires"]):
        found = versions[canonicalize_name(requirement.name)]
        assert (
            set(requirement.specifier.filter(found))
            if requirement.marker
            else all(version in requirement.specifier for version in found)
        ), requirement


def test_each_group_has_a_file_and_the_chapters_do_without_the_heavy_ones() -> None:
    assert set(LOCKS) - {"requirements"} == set(GROUPS) - {"build"}
    heavy = "keras|mypy|playwright|pytest|ruff|scikit-learn|scipy|speechrecognition|tensorflow"
    assert not re.findall(rf"^({heavy})==", LOCKS["requirements"], re.M)
    for group in sorted(set(GROUPS) - {"build"}):
        names = set(re.findall(r"^([\w.-]+)==", LOCKS[group], re.M))
        assert {canonicalize_name(Requirement(text).name) for text in GROUPS[group]} <= names


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_a_hash_for_each_and_names_no_registry(name: str) -> None:
    entries = re.split(r"^(?=[\w.-]+==)", LOCKS[name], flags=re.M)
    assert len(entries) > 3
    assert all("--hash=sha256:" in entry for entry in entries if entry)
    assert not re.search(r"https?:", LOCKS[name])
    assert "index-url" not in LOCKS[name]


def test_the_installed_versions_are_the_locked_ones() -> None:
    if not (Path(sys.prefix) / ".installed").exists():
        pytest.skip("this environment was not made by make")
    versions = locked()
    for each in importlib.metadata.distributions():
        name = canonicalize_name(each.name)
        if name not in ("pip", "setuptools", "over-the-wire"):
            assert each.version in versions[name], name


@pytest.mark.skipif(sys.platform == "win32", reason="make is for POSIX systems")
def test_make_alone_lists_every_target() -> None:
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    assert {"lab", "test", "notebooks", "lint", "bench", "lock", "clean"} <= set(targets)
    assert set(re.findall(r"^  make ([a-z-]+)", shown, re.M)) == set(targets)


def test_the_documentation_names_only_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    for path in PAGES:
        commands = re.findall(r"(?:`|^ {4})make ([^`\n#]+)", path.read_text(encoding="utf-8"), re.M)
        named = {word for command in commands for word in command.split()}
        assert {word for word in named if re.fullmatch("[a-z-]+", word)} <= targets, path.name


def test_what_ci_runs_is_in_the_documentation() -> None:
    run = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    pages = "".join(path.read_text(encoding="utf-8") for path in PAGES)
    targets = re.findall(r"^step make ([a-z-]+)", run, re.M)
    assert {"lint", "test-all", "test-browser", "pythons"} <= set(targets)
    for target in targets:
        assert f"`make {target}`" in pages


def test_the_workflow_runs_the_same_commands_on_three_systems_and_all_pythons() -> None:
    workflow = yaml.safe_load(
        (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    )
    job = workflow["jobs"]["test"]
    systems = {name.partition("-")[0] for name in job["strategy"]["matrix"]["system"]}
    assert systems == {"ubuntu", "macos", "windows"}
    wanted = SpecifierSet(PROJECT["project"]["requires-python"])
    assert set(job["strategy"]["matrix"]["python"]) == set(
        wanted.filter(f"3.{minor}" for minor in range(20))
    )
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command.split()[:2] for command in commands] == [["make", "lint"], ["make", "test"]]
    for command in commands:
        target, *variables = command.split()[1:]
        assert re.search(rf"^{target}:", makefile, re.M)
        for variable in variables:
            assert re.search(rf"^{variable.partition('=')[0]} *\?=", makefile, re.M), variable


@pytest.mark.skipif(sys.platform == "win32", reason="make is for POSIX systems")
def test_binder_and_the_dev_container_install_the_lock_on_a_python_that_the_project_takes() -> None:
    wanted = SpecifierSet(PROJECT["project"]["requires-python"])
    text = (ROOT / ".devcontainer" / "devcontainer.json").read_text(encoding="utf-8")
    container = json.loads(re.sub(r"^//.*", "", text, flags=re.M))
    # What the published schema of the format calls these, and no more.
    assert container.keys() == {"name", "image", "postCreateCommand", "customizations"}
    assert wanted.contains(container["image"].partition("python:")[2])
    stamp = container["postCreateCommand"].removeprefix("make ")
    shown = subprocess.run(
        ["make", "--dry-run", "--always-make", stamp],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--no-deps --require-hashes -r requirements.txt" in shown

    runtime = (ROOT / "binder" / "runtime.txt").read_text(encoding="utf-8").strip()
    assert wanted.contains(runtime.removeprefix("python-"))
    install = (ROOT / "binder" / "postBuild").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for words in re.findall(r"-m pip install (.+)$", readme, re.M):
        assert f"-m pip install --no-cache-dir {words}" in install


def test_every_module_is_imported_where_there_is_nothing_of_unix() -> None:
    code = """
        import builtins, importlib, os, pkgutil
        import helpers, otw, practice, protos, workbench
        from practice.rayserve import launching
        from protos import official
        del os.fork
        real = builtins.__import__
        rooms = ("helpers", "otw", "practice", "protos", "workbench")

        def without(name, namespace=None, *more, **named):
            # Only for us: other packages have modules of their own for Windows.
            ours = (namespace or {}).get("__name__", "").partition(".")[0]
            if name in ("fcntl", "pwd", "resource") and ours in rooms:
                raise ImportError(f"{namespace['__name__']} imports {name}")
            return real(name, namespace, *more, **named)

        builtins.__import__ = without
        for package in (helpers, otw, practice, protos, workbench):
            for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if found.name == "practice.tfserving.session" and not official.has_tensorflow():
                    continue
                if found.name == "practice.rayserve.application" and not launching.has_ray():
                    continue
                if not found.name.endswith(".__main__"):
                    importlib.import_module(found.name)
                    print(found.name)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) > 150
