"""How many takes of a request are worth writing: how good the best of 1 to 32 is, and what it costs.

    python -m benchmarks takes [--pieces N] [--corpus FOLDER …] [--checkpoint FOLDER] [--json]

The best of so many takes is chosen as the engine chooses (`engine.takes`), with the checkpoint's bands or, where it has
none, those of the held-out human excerpts here. Of two listeners, `literature` has a say in the choice; `fitted`, a
regression on histograms of training pieces (`trainer.evaluation.moods`), has none. Milliseconds are processor time of
one thread for one request alone: notes and choice.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.command import at_least_one
from data.composer.corpus import SOURCE
from data.corpus import load_corpus
from data.endings import ending
from data.listener import Listener, labelled
from data.moods import Mood
from data.repetition import REPETITION, bands, excerpts
from data.split import Split, split_by_composer
from data.tokens import IntArray
from engine.batching.batcher import Batcher
from engine.batching.slots import Slots, open_slots, ways
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.originality import Index
from engine.plan import Plan, plan
from engine.takes import Bands, Chosen, Judge
from engine.types import ComposeRequest
from trainer.evaluation.moods import hear_by_literature, histograms
from trainer.evaluation.systems import requests

COUNTS = (1, 4, 8, 16, 32)
LENGTH_NOTES = 200
_SLOTS = 64
_CONFIDENCE = 0.4  # of the mood of a human piece that the listener learns from, as in the evaluation
_TIMED = 8  # requests


@dataclasses.dataclass(frozen=True)
class Row:
    """What so many takes give. Shares of pieces, but for the percentile and the milliseconds."""

    takes: int
    mood_literature: float
    mood_fitted: float
    ends: float
    in_band: dict[str, float]
    copied_share_p95: float | None
    milliseconds: float


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(prog="./run bench takes", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT, help="a checkpoint folder")
    corpora = [Path("var/corpus")]
    parser.add_argument(
        "--corpus", type=Path, nargs="+", default=corpora, help="what the model learnt (default: var/corpus)"
    )
    parser.add_argument(
        "--pieces", type=at_least_one, default=400, help="requests, the moods taking turns (default 400)"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    checkpoint = load_checkpoint(options.checkpoint)
    splits = [split_by_composer(load_corpus(folder)) for folder in options.corpus]
    bands = Judge.of(checkpoint, None).bands or human_bands(splits)
    rows = measure(checkpoint, Judge(bands, Index.load(options.checkpoint)), fit_listener(splits), options.pieces)
    if options.json:
        facts = {"checkpoint": checkpoint.id, "pieces": options.pieces, "bands": bands}
        sys.stdout.write(json.dumps(facts | {"rows": [dataclasses.asdict(row) for row in rows]}) + "\n")
        return 0
    for row in rows:
        in_band = "".join(f"   {name} in band {share:.1%}" for name, share in row.in_band.items())
        copied = "" if row.copied_share_p95 is None else f"   copied share p95 {row.copied_share_p95:.4f}"
        sys.stdout.write(
            f"{row.takes:3d} takes: mood by literature {row.mood_literature:.1%}, fitted {row.mood_fitted:.1%}   "
            f"ends {row.ends:.1%}{in_band}{copied}   {row.milliseconds:.1f} ms\n"
        )
    return 0


def human_bands(splits: Sequence[Split]) -> Bands:
    """5th to 95th percentile of each measure in excerpts of held-out human pieces."""
    human = [piece for split in splits for piece in (*split.valid, *split.test) if piece.source != SOURCE]
    return bands([excerpt for piece in human for excerpt in excerpts(piece.score)])


def fit_listener(splits: Sequence[Split]) -> Listener:
    """The listener of the evaluation."""
    train = [piece for split in splits for piece in split.train]
    sure = [piece for piece in train if piece.source == SOURCE or piece.mood_confidence >= _CONFIDENCE]
    return Listener.fit(*labelled(sure, LENGTH_NOTES, histograms))


def measure(checkpoint: Checkpoint, judge: Judge, listener: Listener, pieces: int) -> list[Row]:
    """One row for each number of takes, of the same requests."""
    wanted = requests(pieces, LENGTH_NOTES, 0.9, 20_000)
    batcher = Batcher(lambda: open_slots(ways(checkpoint, _SLOTS, "cpu")))
    plans = [plan(request, checkpoint.styles) for request in wanted]
    tickets = [
        batcher.submit(request, decided, takes=range(max(COUNTS)))
        for request, decided in zip(wanted, plans, strict=True)
    ]
    takes = [ticket.future.result() for ticket in tickets]
    batcher.close()
    rows = []
    for count in COUNTS:
        chosen = [
            judge.choose(of_one[:count], request, decided)
            for of_one, request, decided in zip(takes, wanted, plans, strict=True)
        ]
        ends = [ending(one.score, decided.key.tonic).ends for one, decided in zip(chosen, plans, strict=True)]
        inside = {
            name: float(np.mean([low <= REPETITION[name](one.score) <= high for one in chosen]))
            for name, (low, high) in judge.bands.items()
        }
        rows.append(
            Row(
                count,
                _right(wanted, hear_by_literature([one.score for one in chosen])),
                _right(wanted, listener.hear(np.array([histograms(one.score) for one in chosen]))),
                float(np.mean(ends)),
                inside,
                _copied(chosen),
                round(_milliseconds(checkpoint, judge, wanted[:_TIMED], count), 1),
            )
        )
    return rows


def _right(wanted: Sequence[ComposeRequest], heard: Sequence[Mood]) -> float:
    return float(np.mean([request.mood == mood for request, mood in zip(wanted, heard, strict=True)]))


def _copied(chosen: Sequence[Chosen]) -> float | None:
    shares = [one.originality.copied_share for one in chosen if one.originality is not None]
    return float(np.percentile(shares, 95)) if shares else None


def _milliseconds(checkpoint: Checkpoint, judge: Judge, wanted: Sequence[ComposeRequest], count: int) -> float:
    slots = open_slots(ways(checkpoint, max(COUNTS), "cpu"))
    times = []
    for request in (wanted[0], *wanted):  # the first warms up
        decided = plan(request, checkpoint.styles)
        started = time.thread_time()
        judge.choose(_write(slots, request, decided, count), request, decided)
        times.append(1000 * (time.thread_time() - started))
    return statistics.median(times[1:])


def _write(slots: Slots, request: ComposeRequest, decided: Plan, count: int) -> list[IntArray]:
    for take in range(count):
        slots.begin(take, request, decided, attempt=take)
    while slots.run(max(1, slots.chunk_notes // count)):
        pass
    return [slots.tokens(take) for take in range(count)]
