"""README's tables that a run writes, each between two marks."""

from pathlib import Path

_README = Path(__file__).parent.parent / "README.md"


def write(name: str, table: str) -> None:
    """Put a table in place of the one between `<!-- name: begin -->` and `<!-- name: end -->`."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    before, rest = _README.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    _README.write_text(f"{before}{begin}{table}{end}{after}", encoding="utf-8")
