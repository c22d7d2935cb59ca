"""`python -m practice.modelarts`."""

# Little else here: Python compiles this file anew at every start.
import gc
import sys

gc.disable()  # what is made at start is here to stay; looking through it for garbage takes time

from practice.modelarts.command import main  # noqa: E402

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main())
