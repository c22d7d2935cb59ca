"""The plot in docs/measured.md: what writing and reading a tensor costs, against its size."""

from collections.abc import Mapping, Sequence
from pathlib import Path

_FILE = Path(__file__).parents[2] / "data" / "screenshots" / "cost-against-size.png"
# Okabe and Ito's colours; line and marker tell them apart in grey, too.
_COLOURS = ("#000000", "#0072B2", "#009E73", "#56B4E9", "#E69F00", "#D55E00", "#CC79A7")
_MARKERS = "osDv^Xp"


def draw(series: Mapping[str, Sequence[float]], file: Path = _FILE) -> None:
    """Draw each way's seconds against the sizes, which are the first of the series."""
    import matplotlib.pyplot as plt  # only here: few runs draw

    (name, sizes), *ways = series.items()
    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for (way, seconds), colour, marker in zip(ways, _COLOURS, _MARKERS, strict=False):
        micros = [1e6 * each for each in seconds]
        dashes = "--" if way == "memory copy" else "-"
        axes.loglog(sizes, micros, dashes, color=colour, marker=marker, ms=5, label=way)
    axes.set(xlabel=name, ylabel="time of one call (microseconds)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(file, dpi=100, metadata={"Software": None})
    plt.close(figure)
