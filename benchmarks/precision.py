"""What a precision costs in quality: held-out nats per note through the note step, against the model in PyTorch.

    python -m benchmarks precision [--checkpoint FOLDER] [--corpus FOLDER] [--json]

The last notes of every validation piece (2,000 at most, what a request may ask for) are teacher-forced through the
compiled step in float32 and in int8, and through `engine.model` in float32. int8 is the engine's default while it
changes the loss by less than half a percent.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from data.keys import Key
from data.moods import MOODS, Mood
from data.tokens import ATTRIBUTES, MODE, MOOD, TEMPO, IntArray, conditions, tempo_bin
from engine.batching.layout import Precision
from engine.batching.native import NativeSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.model import NoteLSTM
from engine.note_cache import note_nats
from engine.plan import Plan
from engine.types import LENGTH_NOTES_MAX, LENGTH_NOTES_MIN, TEMPO_MAX_BPM, TEMPO_MIN_BPM, ComposeRequest
from trainer.config import PRESETS
from trainer.pipeline import prepare

PRECISIONS: tuple[Precision, ...] = ("float32", "int8")


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to compute the loss."""

    variant: str
    nats_per_note: float
    change_percent: float
    by_attribute: dict[str, float]


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """One piece as a request would make it: its own tokens, told a mood, a mode and a tempo."""

    tokens: IntArray
    request: ComposeRequest
    plan: Plan


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; the exit status is 1 when int8 changes the loss by half a percent or more."""
    parser = argparse.ArgumentParser(prog="./run bench precision", description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument(
        "--checkpoint", type=Path, default=DEFAULT, help="a checkpoint folder (default: the shipped one)"
    )
    parser.add_argument("--corpus", type=Path, default=Path("var/corpus"), help="the corpus that it was trained on")
    options = parser.parse_args(arguments)
    checkpoint, pieces = load_checkpoint(options.checkpoint), held_out(options.corpus)
    rows = compare(checkpoint, pieces)
    notes = sum(len(piece.tokens) for piece in pieces)
    if options.json:
        facts = {"checkpoint": checkpoint.id, "pieces": len(pieces), "notes": notes}
        sys.stdout.write(json.dumps(facts | {"rows": [dataclasses.asdict(row) for row in rows]}) + "\n")
    else:
        sys.stdout.write(f"{checkpoint.id}: {notes} notes of {len(pieces)} held-out pieces\n")
        for row in rows:
            each = "  ".join(f"{name} {nats:.4f}" for name, nats in row.by_attribute.items())
            sys.stdout.write(f"{row.variant:8s} {row.nats_per_note:.5f} nats  {row.change_percent:+.4f} %   {each}\n")
    return int(abs(rows[-1].change_percent) >= 0.5)


def held_out(corpus: Path) -> list[HeldOut]:
    """The validation pieces of a corpus, split as training splits them.

    Raises:
        SetupProblem: the folder holds no corpus.
    """
    pieces = []
    for example in prepare(corpus, PRESETS["v1"]).valid:
        tokens = example.tokens[-LENGTH_NOTES_MAX:]
        if len(tokens) < LENGTH_NOTES_MIN:
            continue
        mood, mode, tempo = example.conditions[-1, [MOOD, MODE, TEMPO]].tolist()
        tempo_bpm = next(bpm for bpm in range(TEMPO_MIN_BPM, TEMPO_MAX_BPM) if tempo_bin(bpm) == tempo)
        # A request always names a mood; of a piece whose mood is not known it is the first.
        request = ComposeRequest(length_notes=len(tokens), mood=Mood(MOODS[mood % len(MOODS)]))
        pieces.append(HeldOut(tokens, request, Plan(tempo_bpm, Key(0, "major" if mode == 0 else "minor"))))
    return pieces


def compare(checkpoint: Checkpoint, pieces: Sequence[HeldOut]) -> list[Row]:
    """The loss by PyTorch, and through the step at each precision."""
    nats = {"torch": np.concatenate([_by_torch(checkpoint, piece) for piece in pieces])}
    for precision in PRECISIONS:
        slots = NativeSlots(checkpoint, 64, precision=precision)
        slots.keep_nats()
        nats[precision] = np.concatenate([each for few in _by_64(pieces) for each in _by_step(slots, few)])
    means = {variant: rows.mean(axis=0, dtype=np.float64) for variant, rows in nats.items()}
    base = means["torch"].sum()
    return [
        Row(
            variant,
            round(float(mean.sum()), 6),
            round(float(100 * (mean.sum() / base - 1)), 5),
            {attribute.name: round(float(part), 5) for attribute, part in zip(ATTRIBUTES, mean, strict=True)},
        )
        for variant, mean in means.items()
    ]


def _by_64(pieces: Sequence[HeldOut]) -> list[Sequence[HeldOut]]:
    return [pieces[first : first + 64] for first in range(0, len(pieces), 64)]


def _by_step(slots: NativeSlots, pieces: Sequence[HeldOut]) -> list[np.ndarray]:
    for slot, piece in enumerate(pieces):
        slots.begin(slot, piece.request, piece.plan, opening=piece.tokens)
    while slots.run(100):
        pass
    return [slots.nats(slot) for slot in range(len(pieces))]


def _by_torch(checkpoint: Checkpoint, piece: HeldOut) -> np.ndarray:
    plan = piece.plan
    rows = conditions(
        piece.tokens,
        mood=piece.request.mood,
        mode=plan.key.mode,
        tempo_bpm=plan.tempo_bpm,
        controls=plan.controls,
    )
    previous = np.vstack([[attribute.size for attribute in ATTRIBUTES], piece.tokens[:-1]])
    with torch.inference_mode():
        return note_nats(NoteLSTM.of(checkpoint), *map(torch.from_numpy, (previous, rows, piece.tokens))).numpy()
