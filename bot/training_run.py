"""What a retraining's folder says about it (see `bot.training_job`)."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

RunState = Literal["running", "finished", "failed", "cancelled", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the evaluation measured of the candidate, beside the checkpoint in use and beside human music.

    Attributes:
        current: the checkpoint in use.
        nats: a note on held-out music, of the candidate and of the current one; lower is better.
        inside: how many of the measures that can tell music from its shuffle lie inside the human band, of both.
        telling: how many of those measures there are.
        copied_share: of a piece's notes, 95th percentile: the candidate's from the corpus, people's from each other.
    """

    current: str
    nats: tuple[float, float]
    inside: tuple[int, int]
    telling: int
    copied_share: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """One retraining as far as it is known now.

    Attributes:
        id: names it; the time of its start.
        state: INTERRUPTED is one whose process is gone without a word, as after a power cut; `recover` goes on with it.
        epoch, epochs: of the training.
        share: 0 to 1, how much of the training is done.
        remaining_s: estimated seconds of training; None while nothing is known.
        train_nats, valid_nats: loss a note on what is learnt and on what is held out; None while not measured.
        checkpoint: the folder of the candidate, there when the training is finished.
        verdicts: what the evaluation asked -> whether the candidate shows it; empty when it was not evaluated.
        comparison: the figures behind them; None when it was not evaluated.
        sentence: why it failed, else "".
        imported: how many files of the uploaded music and of favourites were taken.
        refused: which were not, with the reasons.
    """

    id: str
    state: RunState
    epoch: int
    epochs: int
    share: float
    remaining_s: float | None
    train_nats: float | None
    valid_nats: float | None
    checkpoint: Path
    verdicts: dict[str, bool]
    comparison: Comparison | None
    sentence: str
    imported: int = 0
    refused: tuple[str, ...] = ()


def is_locked(run: Path) -> bool:
    """Whether the job of that folder, or a step of it, is alive."""
    try:
        lock = os.open(run / "lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look see no owner in each other
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(lock)


def clear(run: Path) -> None:
    """Remove the music that a run that has ended was given; what people gave is not kept longer than it is needed."""
    for name in ("corpus", "favourites", "uploads"):
        shutil.rmtree(run / name, ignore_errors=True)


def read_run(run: Path) -> TrainingRun:
    """How far the run of that folder is. Blocks: reads its files."""
    locked = is_locked(run)  # before the events: one that ends in between has then written that it did
    job = json.loads((run / "job.json").read_text(encoding="utf-8"))
    ended: dict[str, Any] | None = None
    report: dict[str, Any] = {}  # the latest
    measured: dict[str, Any] = {}  # the latest with a held-out loss
    imported, refused = 0, []
    for event in _events(run / "progress.jsonl"):
        if event.get("event") == "step":
            ended = None
        elif event.get("event") == "progress":
            report = event
            measured = event if event.get("valid_nats") is not None else measured
        elif event.get("event") == "ended":
            ended = event
        elif "quarantined" in event:  # what `./run data add --json` says
            imported += event["accepted"] + event["known"]
            refused += [f"{each['file']}: {each['reason']}" for each in event["quarantined"]]
    state: RunState = "running" if locked else "cancelled" if (run / "cancel").exists() else "interrupted"
    if ended is not None:
        state = ended["status"]
    evaluation = _report(run / "evaluation" / "report.json")
    total = report.get("total_notes", 0) * report.get("epochs", 0)
    done = report.get("total_notes", 0) * (report.get("epoch", 1) - 1) + report.get("notes", 0)
    rate = report.get("notes_per_s", 0.0)
    return TrainingRun(
        id=run.name,
        state=state,
        epoch=report.get("epoch", 0),
        epochs=report.get("epochs", job["epochs"]),
        share=done / total if total else 0.0,
        remaining_s=(total - done) / rate if total and rate else None,
        train_nats=report.get("train_nats"),
        valid_nats=measured.get("valid_nats"),
        checkpoint=Path(job["checkpoint"]),
        verdicts={str(name): bool(ok) for name, ok in evaluation.get("verdicts", {}).items()},
        comparison=_comparison(evaluation),
        sentence=ended["sentence"] if ended is not None else "",
        imported=imported,
        refused=tuple(refused),
    )


def _events(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:  # half a line: it is being written, or the machine went down
            continue
        if isinstance(event, dict):
            events.append(event)
    return events


def _report(path: Path) -> dict[str, Any]:
    """What `trainer.evaluation` wrote; {} while there is none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def _comparison(report: dict[str, Any]) -> Comparison | None:
    try:
        own, sides, copied = report["checkpoint"], report["nats_per_note"], report["originality"]
        systems = [row["systems"] for row in report["measures"] if "human" in row]
        current = next(name for name in systems[0] if name not in {own, "5-gram", "unigram", "shuffle"})
        telling = [each for each in systems if not each["shuffle"]["inside"]]
        side = sides.get("valid, by people", sides["valid"])
        return Comparison(
            current=current,
            nats=(side[own], side[current]),
            inside=(sum(each[own]["inside"] for each in telling), sum(each[current]["inside"] for each in telling)),
            telling=len(telling),
            copied_share=(copied["served"]["copied_share_p95"], copied["held_out_human"]["copied_share_p95"]),
        )
    except (KeyError, IndexError, TypeError, AttributeError, StopIteration):  # not evaluated, or beside nothing
        return None
