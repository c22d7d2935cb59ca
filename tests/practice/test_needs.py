"""`%%needs tensorflow`, `%%needs ray`: the cell runs as it is, or says why it is left out."""

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

import practice
from practice import needs
from practice.rayserve import launching as ray
from protos import official

ADDED_BY = {"tensorflow": "make tensorflow", "ray": "make scale"}


@pytest.fixture
def shell() -> InteractiveShell:
    shell = InteractiveShell()
    practice.load_ipython_extension(shell)
    return shell


def set_installed(monkeypatch: pytest.MonkeyPatch, *, installed: bool) -> None:
    monkeypatch.setattr(official, "has_tensorflow", lambda: installed)
    monkeypatch.setattr(ray, "has_ray", lambda: installed)


@pytest.mark.parametrize("need", ADDED_BY)
def test_the_cell_runs_as_it_is_where_that_is_installed(
    need: str, shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_installed(monkeypatch, installed=True)
    done = shell.run_cell(f"%%needs {need}\nanswer = 41\nanswer + 1")
    assert done.result == 42
    assert shell.user_ns["answer"] == 41


@pytest.mark.parametrize("need", ADDED_BY)
def test_without_it_the_cell_says_so_and_nothing_of_it_runs(
    need: str,
    shell: InteractiveShell,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    set_installed(monkeypatch, installed=False)
    done = shell.run_cell(f"%%needs {need}\nanswer = 41\nimport nothing_like_it")
    assert done.success
    assert "answer" not in shell.user_ns
    assert capsys.readouterr().out == f"{needs.left_out(need)}\n"
    assert ADDED_BY[need] in needs.left_out(need)


def test_other_cells_are_left_alone(shell: InteractiveShell) -> None:
    assert shell.run_cell("1 + 1").result == 2
    assert shell.run_cell("# %%needs tensorflow\n3").result == 3


@pytest.mark.parametrize("line", ["%%needs", "%%needs keras", "%%needs tensorflow ray"])
def test_what_is_no_need_is_refused(line: str) -> None:
    with pytest.raises(UsageError, match="takes one word, tensorflow or ray"):
        needs.transform([f"{line}\n", "1\n"])


def test_after_unloading_it_is_unknown(shell: InteractiveShell) -> None:
    practice.unload_ipython_extension(shell)
    assert needs.transform not in shell.input_transformers_cleanup
