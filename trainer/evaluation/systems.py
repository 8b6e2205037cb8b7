"""Who writes the pieces that are measured: the checkpoint, as the engine serves it; n-grams; a shuffle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from data.moods import MOODS
from data.score import Score, trim_overlaps
from data.tokens import ATTRIBUTES, IntArray, decode, encode
from engine.batching.best_of import BestOf
from engine.batching.slots import open_slots, ways
from engine.checkpoint import Checkpoint
from engine.originality import Index
from engine.plan import Plan, plan, randomness, to_score
from engine.takes import Chosen, Judge
from engine.types import ComposeRequest, Originality
from trainer.baselines import NGram

_NGRAM_STREAM = 900  # of a request's randomness; clear of the engine's own
_SLOTS = 64  # takes written side by side
Tick = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Served:
    """One piece as the engine would serve it: the best of several takes.

    Attributes:
        request: what was asked.
        plan: the key and tempo that it has.
        chosen: the take.
    """

    request: ComposeRequest
    plan: Plan
    chosen: Chosen

    @property
    def score(self) -> Score:
        """The notes."""
        return self.chosen.score

    @property
    def originality(self) -> Originality | None:
        """Of the notes, or None where the checkpoint has no index."""
        return self.chosen.originality


def requests(count: int, length_notes: int, temperature: float, seed: int) -> list[ComposeRequest]:
    """Wishes for pieces, the moods taking turns; seeds count up from `seed`."""
    return [
        ComposeRequest(
            mood=MOODS[n % len(MOODS)], length_notes=length_notes, temperature=temperature, seed=(seed + n) % 2**32
        )
        for n in range(count)
    ]


def serve(checkpoint: Checkpoint, index: Index | None, wanted: Sequence[ComposeRequest], tick: Tick) -> list[Served]:
    """Compose as `engine.local.LocalEngine` does, without the sound, on the CPU.

    Args:
        checkpoint: who composes.
        index: of its training music; None: nothing is checked.
        wanted: what to compose.
        tick: called after each piece.
    """
    writer = BestOf(partial(open_slots, ways(checkpoint, _SLOTS, "cpu")), Judge.of(checkpoint, index))
    try:
        styles = checkpoint.styles
        plans = [plan(request, styles) for request in wanted]
        wishes = [writer.submit(request, decided) for request, decided in zip(wanted, plans, strict=True)]
        result = []
        for request, decided, wish in zip(wanted, plans, wishes, strict=True):
            result.append(Served(request, decided, wish.future.result()))
            tick()
        return result
    finally:
        writer.close()


def ngram_pieces(model: NGram, wanted: Sequence[ComposeRequest], tick: Tick) -> list[Score]:
    """Pieces by an n-gram, with the temperature, nucleus, length, tempo and key of each request."""
    result = []
    for request in wanted:
        decided = plan(request)
        result.append(to_score(_ngram_tokens(model, request), decided))
        tick()
    return result


def _ngram_tokens(model: NGram, request: ComposeRequest) -> IntArray:
    uniforms = randomness(request.seed, _NGRAM_STREAM).random((request.length_notes, len(ATTRIBUTES)))
    rows: list[list[int]] = []
    for t in range(request.length_notes):
        rows.append([0] * len(ATTRIBUTES))
        for attribute in range(len(ATTRIBUTES)):
            probabilities = model.distribution(rows, t, attribute) ** (1 / request.temperature)
            order = np.argsort(-probabilities, kind="stable")
            cumulative = np.cumsum(probabilities[order])
            cumulative /= cumulative[-1]
            size = int(np.searchsorted(cumulative, request.top_p)) + 1
            at = np.searchsorted(cumulative[:size], uniforms[t, attribute] * cumulative[:size][-1], side="right")
            rows[t][attribute] = int(order[min(int(at), size - 1)])
    return np.array(rows, dtype=np.int64)


def shuffled(score: Score, rng: np.random.Generator) -> Score:
    """The same notes, each with the time before it, in random order: all that order says is gone."""
    tokens = encode(score)[rng.permutation(len(score.notes))]
    shuffle = decode(tokens, score.tempo_bpm)
    return Score(trim_overlaps(shuffle.notes), shuffle.tempo_bpm)
