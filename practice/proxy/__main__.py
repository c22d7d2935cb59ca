"""`python -m practice.proxy`."""

import sys

from practice.proxy.command import main

if __name__ == "__main__":
    sys.exit(main())
