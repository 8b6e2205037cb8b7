"""What several tests of slots need: an untrained model with everything in it, and a piece written to its end."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from data.moods import Mood
from data.tokens import IntArray, mood_index
from engine.batching.account import Account
from engine.batching.slots import Slots
from engine.checkpoint import Checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.plan import plan
from engine.takes import Judge
from engine.types import ComposeRequest


def odd_checkpoint() -> Checkpoint:
    """Odd sizes, three layers, controls, a cache, guidance, tied weights: untrained but deterministic."""
    torch.manual_seed(5)
    shape = ModelConfig(
        embedding=21,
        hidden=37,
        layers=3,
        controlled=True,
        tied=True,
        cache_share=0.3,
        cache_stay=0.6,
        cache_sharpness=0.5,
        cache_match=0.5,
        guidance=1.5,
    )
    model = NoteLSTM(shape).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.5)
    styles = {mood.value: [f"1 2 20 {mood_index(mood)} 3 0 7 2 8 4 1"] for mood in Mood}
    return Checkpoint.of("odd-0", model, {"limits": {"longest_pitch_run": 2}, "styles": styles})


def otherwise(checkpoint: Checkpoint, **changes: Any) -> Checkpoint:
    """The same weights with another configuration."""
    return dataclasses.replace(checkpoint, config=dataclasses.replace(checkpoint.config, **changes))


class Zeros(Account):
    """Slots without a model: notes are all zero, and what is counted is how many."""

    def begin(self, slot: int, request: ComposeRequest, *_: object, **__: object) -> None:
        self._begins(slot, request.length_notes)

    def run(self, steps: int) -> int:
        self._stopped()
        before, self._at = self._at, np.minimum(self._at + steps, self._end)
        return int(self._at.sum() - before.sum())

    def tokens(self, slot: int) -> IntArray:
        return np.zeros((self.written(slot), 5), np.int64)

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        taken = [self.tokens(slot) for slot in slots]
        return lambda: taken


def piece(slots: Slots, slot: int, request: ComposeRequest, steps: int = 64) -> IntArray:
    """The notes of a request in a slot, whatever else is in the making."""
    slots.begin(slot, request, plan(request))
    while not slots.finished()[slot]:
        slots.run(steps)
    return slots.tokens(slot)


Deed: TypeAlias = Callable[[int], None]  # what is done to a process, told how many began before it


@dataclass
class Sabotage:
    """A judge in whose process something is done before anything else."""

    judge: Judge
    marks: Path  # a file for each process that began
    deed: Deed

    def __reduce__(self) -> tuple[object, ...]:
        return _sabotage, (self.judge, self.marks, self.deed)


def _sabotage(judge: Judge, marks: Path, deed: Deed) -> Judge:
    begun = len(list(marks.iterdir()))
    (marks / f"{begun} {os.getpid()}").touch()
    deed(begun)  # in the child, which has no other door
    return judge
