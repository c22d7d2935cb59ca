"""What is closed leaves neither memory nor threads nor calls behind."""

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from practice.instance import PrivateEndpoint
from tests.tfserving import eventually
from tests.workbench.test_widgets import all_widgets
from workbench.explorer import Explorer, editors

FLOWER = np.array([[5.1, 3.5, 1.4, 0.2]], "float32")


@pytest.fixture
def explorer(private: PrivateEndpoint) -> Iterator[Explorer]:
    made = Explorer(private)
    made.choose("iris")
    yield made
    private.trouble()


def is_gone(reference: "weakref.ref[Any]") -> bool:
    gc.collect()
    return reference() is None


def test_a_form_that_is_left_is_gone_with_its_arrays_and_hidden_fields(explorer: Explorer) -> None:
    form, editor = explorer.form, explorer.form.editors["features"]
    for source in (editors.TYPED, editors.PASTED, editors.UPLOADED, editors.RANDOM):
        editor.source.value = source
    hidden = editor.fields[editors.PASTED][0]
    explorer.fill(features=FLOWER.copy())
    array = weakref.ref(editor.read())
    kept = weakref.ref(form)
    explorer.choose("digits")
    assert hidden.comm is None
    del form, editor, hidden
    eventually(lambda: is_gone(array))
    eventually(lambda: is_gone(kept))


def test_an_explorer_that_is_closed_is_gone_with_its_history(private: PrivateEndpoint) -> None:
    explorer = Explorer(private)
    explorer.choose("iris")
    explorer.fill(features=FLOWER.copy())
    explorer.send()
    array = weakref.ref(explorer.history.records[0].request.payload["features"])
    shown = all_widgets(explorer)
    explorer.close()
    assert {each.comm for each in shown} == {None}
    del explorer, shown
    eventually(lambda: is_gone(array))


def test_closing_cancels_the_call_that_is_under_way(
    explorer: Explorer, private: PrivateEndpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    unhandled: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    private.trouble(delay=20)
    explorer.form.timeout.value = 60
    explorer.send_button.click()
    eventually(lambda: explorer.cancel_button.disabled is False)
    sending = explorer.sending
    explorer.close()
    assert sending
    assert [each.status for each in sending.records] == ["cancelled"]
    sending.thread.join(10)
    assert not sending.thread.is_alive()
    assert not unhandled
