"""`make quality`: prints the table of the engines' figures, and writes it to README.md."""

import sys
from pathlib import Path

from tqdm import tqdm

from tests.quality.measure import all_figures

_README = Path(__file__).parents[2] / "README.md"
_MARKS = ("<!-- quality: begin -->\n", "<!-- quality: end -->")


def main() -> int:
    """Measure all; the exit status counts what is not good enough."""
    figures = all_figures(tqdm)
    table = "| what | measured on | right | at least |\n|---|---|---|---|\n" + "".join(
        f"| {f.what} | {f.on} | {f.right:.3f} | {f.least if f.least is not None else ''} |\n"
        for f in figures
    )
    print(table)
    before, rest = _README.read_text(encoding="utf-8").split(_MARKS[0])
    after = rest.split(_MARKS[1])[1]
    _README.write_text(f"{before}{_MARKS[0]}{table}{_MARKS[1]}{after}", encoding="utf-8")
    return sum(f.least is not None and f.right < f.least for f in figures)


if __name__ == "__main__":
    sys.exit(main())
