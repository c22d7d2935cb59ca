"""How long does the endpoint panel take, against a bare form with as many widgets?"""

import os
import statistics
import tempfile

import ipywidgets
from IPython.display import display

from practice import manager
from tests.benchmarks.measure import Row, at_most, interleaved, ratio, timed
from workbench.panel import EndpointPanel


def measure() -> list[Row]:
    """Make and display both, in turn, with the practice service running."""
    before = os.environ.get("OTW_STATE_DIR")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["OTW_STATE_DIR"] = folder
        try:
            manager.up("tfserving")
            ours, bare = interleaved([timed(_panel), timed(_bare)], rounds=30)
            (again,) = interleaved([timed(lambda: manager.up("tfserving"))], rounds=50)
        finally:
            manager.down()
            os.environ.pop("OTW_STATE_DIR") if before is None else os.environ.update(
                OTW_STATE_DIR=before
            )
    slower, ready = ratio(ours, bare), 1000 * statistics.median(again)
    return [
        Row(
            "the endpoint panel against a bare form with as many widgets",
            f"{slower:.2f}x ({1000 * statistics.median(ours):.0f} ms)",
            [at_most(slower, 1.5)],
        ),
        Row("`ready()` when all is well", f"{ready:.1f} ms", [at_most(ready, 20, " ms")]),
    ]


def _panel() -> None:
    display(EndpointPanel("tfserving", model="digits"))


def _bare() -> None:
    kinds = [
        ipywidgets.Dropdown,
        *[ipywidgets.Text] * 5,
        ipywidgets.Checkbox,
        ipywidgets.Password,
        *[ipywidgets.Combobox] * 2,
        ipywidgets.Dropdown,
        *[ipywidgets.HTML] * 4,
        *[ipywidgets.Button] * 2,
    ]
    rows = [kind(description="field", tooltip="what it is") for kind in kinds]
    display(ipywidgets.VBox([*rows[:11], ipywidgets.HBox(rows[11:14]), ipywidgets.HBox(rows[14:])]))
