"""Write pieces with `python -m data.composer --count N --seed S --out FOLDER`, measure with `… report`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from loky import cpu_count
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from data.composer.corpus import write_corpus
from data.composer.piece import SCALE_MAX, SCALE_MIN
from data.composer.report import measure, show
from data.errors import MusicLSTMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m data.composer", description="Compose training music of the project's own (CC0-1.0)."
    )
    parser.add_argument(
        "command", nargs="?", choices=("write", "report"), default="write", help="write MIDI files, or only measure"
    )
    parser.add_argument("--count", type=int, default=400, help="pieces, 1 or more (2 for a report); default 400")
    parser.add_argument("--seed", type=int, default=1, help="0 or more; the same seed gives the same pieces")
    parser.add_argument("--out", type=Path, default=Path("var/own"), help="folder for the files and catalogue.tsv")
    parser.add_argument("--workers", type=int, default=cpu_count(), help="processes; default one a core")
    parser.add_argument("--scale", type=float, default=1.0, help="of the usual duration, 0.2 to 2; default 1")
    options = parser.parse_args(arguments)
    fewest = 2 if options.command == "report" else 1
    if options.count < fewest or options.seed < 0 or options.workers < 1:
        parser.error(f"--count is {fewest} or more, --seed 0 or more, --workers 1 or more")
    if not SCALE_MIN <= options.scale <= SCALE_MAX:
        parser.error(f"--scale is {SCALE_MIN} to {SCALE_MAX}")
    console = Console(stderr=True) if options.command == "write" else Console(width=160)  # wide tables, also in a pipe
    try:
        if options.command == "report":
            show(measure(options.count, options.seed, options.workers, options.scale), console)
        else:
            _write(options, console)
    except MusicLSTMError as error:
        console.print(str(error), markup=False)
        return 1
    return 0


def _write(options: argparse.Namespace, console: Console) -> None:
    count, folder = options.count, options.out
    columns = (TextColumn("Composing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("", total=count)
        write_corpus(
            folder,
            count,
            options.seed,
            options.workers,
            lambda done: bar.update(task, completed=done),
            scale=options.scale,
        )
    console.print(f"{count} pieces in {folder}", markup=False)


if __name__ == "__main__":
    sys.exit(main())
