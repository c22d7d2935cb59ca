"""`make quality`: prints the table of the engines' figures, and writes it into docs."""

import sys

from tqdm import tqdm

from tests import tables
from tests.quality.measure import all_figures


def main() -> int:
    """Measure all; the exit status counts what is not good enough."""
    figures = all_figures(tqdm)
    table = "| what | measured on | right | at least |\n|---|---|---|---|\n" + "".join(
        f"| {f.what} | {f.on} | {f.right:.3f} | {f.least if f.least is not None else ''} |\n"
        for f in figures
    )
    print(table)
    tables.write("quality", table)
    return sum(f.least is not None and f.right < f.least for f in figures)


if __name__ == "__main__":
    sys.exit(main())
