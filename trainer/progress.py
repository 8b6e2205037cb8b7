"""What a person, or a program, sees of a training run."""

from __future__ import annotations

import dataclasses
import json
from types import TracebackType
from typing import Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trainer.loop import Report


class BarProgress:
    """A bar over all notes of all epochs, and a line for each finished epoch."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[nats]:.3f} nats/note  {task.fields[rate]:,.0f} notes/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("train", total=None, epoch=0, epochs=0, nats=0.0, rate=0.0)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, report: Report) -> None:
        """Show one report."""
        self._progress.update(
            self._task,
            total=report.total_notes * report.epochs,
            completed=report.total_notes * (report.epoch - 1) + report.notes,
            epoch=report.epoch,
            epochs=report.epochs,
            nats=report.train_nats,
            rate=report.notes_per_s,
        )
        if report.valid_nats is not None:
            best = "  best so far" if report.valid_nats == report.best_nats else ""
            self._progress.console.print(
                f"epoch {report.epoch}: train {report.train_nats:.3f}, valid {report.valid_nats:.3f} nats/note{best}"
            )


class JsonProgress:
    """One JSON object a line, for programs: the fields of `Report`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush()

    def __call__(self, report: Report) -> None:
        """Write one report."""
        self._stream.write(json.dumps({"event": "progress"} | dataclasses.asdict(report)) + "\n")
        self._stream.flush()
