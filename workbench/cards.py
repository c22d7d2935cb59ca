"""Errors that nobody caught, shown in a notebook as a card: what they mean, and what to check."""

import re
import traceback
from html import escape
from typing import Any

from helpers import errors
from helpers.errors.explanations import cut
from helpers.language import _


def show_uncaught(
    shell: Any, kind: type, error: BaseException, tb: Any, tb_offset: Any = None
) -> Any:
    """Show the card for an error that nobody caught, its traceback folded; for IPython."""
    from IPython.display import display  # optional: only a notebook has it

    explanation = errors.explain(error)
    frames = "".join(f"{escape(_frame(frame))}\n" for frame in traceback.extract_tb(tb))
    heading = escape(_("Traceback"))
    folded = (
        f"<details class='otw-traceback'><summary>{heading}</summary><pre>{frames}</pre></details>"
    )
    text = repr(explanation)
    display({"text/plain": text, "text/html": explanation._repr_html_() + folded}, raw=True)
    shell._last_traceback = text.splitlines()  # what a program that runs the notebook is told


def _frame(frame: traceback.FrameSummary) -> str:
    parts = re.split(r"[\\/]", frame.filename)
    shown = parts[-3:] if parts[-3:-2] == ["helpers"] else parts[-2:]  # with a service's package
    name = "/".join(shown) if "ipykernel" not in frame.filename else _("this notebook")
    return _(
        "{name}, line {line}, in {function}: {code}",
        name=name,
        line=frame.lineno,
        function=frame.name,
        code=cut(frame.line or ""),
    )
