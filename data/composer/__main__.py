"""Measure what the composer writes: `python -m data.composer --count N --seed S`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from loky import cpu_count
from rich.console import Console

from data.composer.piece import SCALE_MAX, SCALE_MIN
from data.composer.report import measure, show


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data.composer", description="Compose training music of the project's own and measure it."
    )
    parser.add_argument("--count", type=int, default=400, help="pieces, 2 or more; default 400")
    parser.add_argument("--seed", type=int, default=1, help="0 or more; the same seed gives the same pieces")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="processes; default one a core")
    parser.add_argument("--scale", type=float, default=1.0, help="of the usual duration, 0.2 to 2; default 1")
    options = parser.parse_args(arguments)
    if options.count < 2 or options.seed < 0 or options.workers < 1:
        parser.error("--count is 2 or more, --seed 0 or more, --workers 1 or more")
    if not SCALE_MIN <= options.scale <= SCALE_MAX:
        parser.error(f"--scale is {SCALE_MIN} to {SCALE_MAX}")
    # wide tables, also in a pipe
    show(measure(options.count, options.seed, options.workers, options.scale), Console(width=160))
    return 0


if __name__ == "__main__":
    sys.exit(main())
