"""Writes into README on which Python the chapters and the services were run, and when.

`make pythons` calls it, with that Python, when all has passed.
"""

import datetime
import platform

from tests import tables

_HEAD = "| Python | system | last run |\n|---|---|---|\n"


def main() -> None:
    """Replace the row of this Python, or add one."""
    minor = platform.python_version().rpartition(".")[0]
    rows = tables.read("pythons").removeprefix(_HEAD).splitlines(keepends=True)
    system = f"{platform.system()} on {platform.machine()}"
    others = [row for row in rows if not (row.startswith(f"| {minor}.") and system in row)]
    today = datetime.datetime.now(datetime.UTC).date()
    ours = f"| {platform.python_version()} | {system} | {today} |\n"
    tables.write("pythons", _HEAD + "".join(sorted([*others, ours])))


if __name__ == "__main__":
    main()
