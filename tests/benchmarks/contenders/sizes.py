"""Encoding tensors of many sizes; runs in the contenders' Python.

python -m tests.benchmarks.contenders.sizes tensorflow
"""

import functools
import sys

from tests.benchmarks import contenders
from tests.benchmarks.contenders.codec import CONTENDERS

SIZES = [16 * 4**power for power in range(12)]  # bytes, up to 64 MiB


def main(contender: str) -> None:
    """Answer with the times of each size."""
    encode = CONTENDERS[contender]().encode
    contenders.answer(
        {str(size): functools.partial(encode, contenders.array((1, size // 4))) for size in SIZES}
    )


if __name__ == "__main__":
    main(sys.argv[1])
