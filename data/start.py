"""`python -m data.start MODULE …`: `python -m MODULE …`, which Ctrl-C ends in one line also while it is being loaded.

An exception would not do: where modules of PyTorch and NumPy are interrupted as they load, it arrives as another one.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Load a command, which takes seconds where PyTorch is in it, and run it; the exit status."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody wants it ignored, as of a job in the background
        signal.signal(signal.SIGINT, _end)
    command = importlib.import_module(f"{arguments[0]}.__main__")
    signal.signal(signal.SIGINT, usual)
    return int(command.main(arguments[1:]))


def _end(*_: object) -> None:
    """Nothing has begun that would have to be tidied up."""
    os.write(2, b"Interrupted.\n")
    os._exit(130)  # 128 + SIGINT, as shells do


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
