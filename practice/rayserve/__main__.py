"""`python -m practice.rayserve`."""

import sys

from practice.rayserve.command import main

if __name__ == "__main__":
    sys.exit(main())
