"""What a person, or a program, sees of a training run: a bar, lines of JSON, curves in TensorBoard."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter

from engine.errors import StorageProblem
from trainer.loop import Report


class Reporter(Protocol):
    """Shows reports while it is entered."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    def __call__(self, report: Report) -> None:
        """Show one report."""


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

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, report: Report) -> None:
        """Show one report."""
        self._progress.update(
            self._task,
            total=report.total_notes * report.epochs,
            completed=report.notes_in_all,
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

    def __exit__(self, *_: object) -> None:
        self._stream.flush()

    def __call__(self, report: Report) -> None:
        """Write one report."""
        self._stream.write(json.dumps({"event": "progress"} | dataclasses.asdict(report)) + "\n")
        self._stream.flush()


class EventLog:
    """Curves for TensorBoard: `tensorboard --logdir FOLDER`. The horizontal axis counts notes.

    Events are written at once and in this process, so that a full disk is one sentence. A run that goes on writes a
    file of its own, whose beginning tells TensorBoard to forget what the interrupted one wrote from there on.

    Args:
        folder: made when missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: RecordWriter | None = None
        self._before: Report | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def __call__(self, report: Report) -> None:
        """Add one report to the curves.

        Raises:
            StorageProblem: the disk is full or read-only.
        """
        values = {"learning rate": report.learning_rate, "notes per second": report.notes_per_s}
        if report.valid_nats is not None:
            values |= {"nats per note/valid": report.valid_nats, "nats per note/train, epoch": report.train_nats}
        else:
            values["nats per note/train"] = self._recent(report)
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        self._before = report
        try:
            file = self._file or self._open(report.notes_in_all)
            _write(file, Event(step=report.notes_in_all, summary=Summary(value=scalars)))
            file.flush()
        except OSError as error:
            raise StorageProblem(
                f"The curves could not be written to {self._folder}: {error.strerror}; resume when that is mended."
            ) from error

    def _recent(self, report: Report) -> float:
        """Nats per note since the report before, of which both know the mean since the epoch began."""
        before = self._before
        if before is None or before.epoch != report.epoch or before.notes == report.notes:
            return report.train_nats
        nats = report.train_nats * report.notes - before.train_nats * before.notes
        return nats / (report.notes - before.notes)

    def _open(self, notes: int) -> RecordWriter:
        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files in the order of their names.
        self._file = file = RecordWriter(str(self._folder / f"events.out.tfevents.{time.time_ns()}"))
        _write(file, Event(file_version="brain.Event:2"))
        _write(file, Event(step=notes, session_log=SessionLog(status=SessionLog.START)))
        return file


def _write(file: RecordWriter, event: Event) -> None:
    event.wall_time = time.time()
    file.write(event.SerializeToString())
