"""What the measurements share as commands: options that are numbers, files given back to them, how they end."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.errors import MusicLSTMError
from engine.errors import InvalidRequest, SetupProblem, StorageProblem


def at_least_one(text: str) -> int:
    """An option that counts something: 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number from 1 up, not {text!r}")
    return int(text)


def from_file(path: Path, show: Callable[[Any], str]) -> str:
    """Show what `--json` gave.

    Raises:
        SetupProblem: the file cannot be read, or holds something else.
    """
    try:
        return show(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise SetupProblem(f"{path} cannot be read: {error.strerror}.") from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SetupProblem(f"{path} is not what this measurement gives with --json.") from error


def write(path: Path, page: str) -> None:
    """Write a chart.

    Raises:
        StorageProblem: there is no such folder, or no room.
    """
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise StorageProblem(f"{path} cannot be written: {error.strerror}.") from error


def told(work: Callable[[], int]) -> int:
    """Do it; the exit status. What goes wrong is told in one sentence."""
    try:
        status = work()
        sys.stdout.flush()
    except MusicLSTMError as error:
        sys.stderr.write(f"{error}\n")
        if isinstance(error, InvalidRequest):
            return 2  # as argparse says it
        return os.EX_CONFIG if isinstance(error, SetupProblem) else 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        return 130  # 128 + SIGINT, as shells do
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing more can be said there, not even by the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status
