"""What the command line and the console share: who sits there, progress bars, exit statuses."""

from __future__ import annotations

import contextlib
import getpass
import os
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bot.errors import Unreachable
from bot.history import FrontEnd, Requester
from bot.workshop import Update, UpdateCallback
from data.errors import MusicLSTMError
from engine.errors import Busy, InvalidRequest, SetupProblem
from engine.types import Stage

EXIT_FAILED, EXIT_USAGE = 1, 2
EXIT_TEMPORARY, EXIT_SETUP = os.EX_TEMPFAIL, os.EX_CONFIG  # 75 and 78 of sysexits.h
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells do


def exit_status(error: MusicLSTMError) -> int:
    """The status with which a program ends that has told this error."""
    if isinstance(error, InvalidRequest):
        return EXIT_USAGE
    if isinstance(error, SetupProblem):
        return EXIT_SETUP
    return EXIT_TEMPORARY if isinstance(error, Busy | Unreachable) else EXIT_FAILED


def local_user(front_end: FrontEnd) -> Requester:
    """Whoever started this program."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container's user without an account
        name = str(os.getuid())
    return Requester(front_end=front_end, user_id=name, user_name=name)


@contextlib.contextmanager
def progress_bars() -> Iterator[UpdateCallback | None]:
    """Bars for sampling and rendering on standard error while the block runs; None where it is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("{task.description:14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
    )
    units = {Stage.SAMPLING: ("Writing notes", "notes"), Stage.RENDERING: ("Making sound", "%")}
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[Stage, TaskID] = {}

        def show(update: Update) -> None:
            if update.stage is Stage.QUEUED:
                return
            if update.stage not in tasks:
                description, unit = units[update.stage]
                tasks[update.stage] = bars.add_task(description, total=update.total, unit=unit)
            bars.update(tasks[update.stage], completed=update.done)

        yield show
