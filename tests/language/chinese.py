"""`make chinese`: write the chapters and the documents in Chinese.

The chapters are written into notebooks/zh, which is not in the repository: an answer that a reader
wrote there stays. The documents are in it, and a test sees that they are as the catalogues make
them.
"""

import sys

from otw import translation
from practice.launch import ROOT
from tests.course import student

FOLDER = "notebooks/zh"
_RECORD = ".written.json"


def main() -> int:
    """Write all of it; returns the exit status."""
    for name, place in translation.documents().items():
        student.replace(ROOT / place, translation.made(name, place).encode())
    chapters = {
        place.removeprefix(f"{FOLDER}/"): translation.made(name, place).encode()
        for name, place in translation.chapters().items()
    }
    for line in student.write(ROOT / FOLDER, chapters, _RECORD):
        print(line)
    print("Open them: otw lab --language zh")
    return 0


if __name__ == "__main__":
    sys.exit(main())
