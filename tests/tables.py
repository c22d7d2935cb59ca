"""The tables that a run writes into README and docs, each between two marks."""

from pathlib import Path

ROOT = Path(__file__).parent.parent
FILES = {
    "bench": ROOT / "docs" / "measured.md",
    "chaos": ROOT / "docs" / "broken-on-purpose.md",
    "pythons": ROOT / "README.md",
    "quality": ROOT / "docs" / "practice-services.md",
    "soak": ROOT / "docs" / "measured.md",
    "times": ROOT / "docs" / "teaching" / "syllabus.md",
}


def read(name: str) -> str:
    """Return the table between `<!-- name: begin -->` and `<!-- name: end -->`."""
    return _parts(name)[1]


def write(name: str, table: str) -> None:
    """Put a table in place of the one between these marks."""
    before, _, after = _parts(name)
    FILES[name].write_text(f"{before}{table}{after}", encoding="utf-8", newline="\n")


def _parts(name: str) -> tuple[str, str, str]:
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = FILES[name].read_text(encoding="utf-8").split(begin)
    table, after = rest.split(end)
    return before + begin, table, end + after
