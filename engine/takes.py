"""Several takes of one request, and which of them is served.

Writing notes is cheap beside rendering them, so every request is drawn several times side by side, each take with
randomness of its own, and the best is served: best-of-n sampling (Stiennon et al. 2020, "Learning to summarize with
human feedback"). In this order the best take

1. copies no more than a human composer does (`engine.originality`; a rejection test, so takes are looked up from the
   best downwards until one passes) and is not too long to be played,
2. ends, rather than stops, and does not fall silent before that, which sounds like the end (`data.endings`),
3. has the mood that was asked for: the log-probability that `data.mood_estimate` gives it, whose cues come from the
   literature, and that of the checkpoint's own listener (`data.listener`), fitted to its training music; less one nat
   for each measure of repetition outside the human band.

Which take is served depends on the request and the checkpoint alone, so the same request still gives the same piece.
Whether moods are recognised has to be asked of another listener than the one that chose: `trainer.evaluation.moods`
has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.attributes import attributes
from data.endings import ending, longest_silence_s
from data.listener import Listener, features_of
from data.mood_estimate import mood_log_shares
from data.moods import MOODS
from data.repetition import REPETITION, excerpts
from data.score import Score
from data.tokens import IntArray
from engine.checkpoint import SIDECAR, Checkpoint
from engine.errors import CheckpointProblem
from engine.originality import Index
from engine.plan import Plan, to_score
from engine.types import DURATION_MAX_S, ComposeRequest, Originality

TAKES = 32  # of a request
TAKES_MIN = 4  # of a long one
TAKES_NOTES = 6400  # beyond so many notes a request has fewer takes: a quarter of a second of a core, choosing too
ROUNDS_MAX = 3  # so many times takes are drawn while every one copies too much
_SILENCE_MAX_S = 4.0
_BAND_NATS = 1.0  # a measure outside its band weighs like a mood that is less likely by a factor e

Bands = Mapping[str, tuple[float, float]]


def takes_of(length_notes: int) -> int:
    """How many takes of a piece of that length are written at once."""
    return min(TAKES, max(TAKES_MIN, TAKES_NOTES // length_notes))


@dataclass(frozen=True, slots=True)
class Chosen:
    """The take that is served.

    Attributes:
        score: its notes.
        originality: what it shares with the training music, or None where the checkpoint has no index of that.
        take: which it was, from 0.
        drawn: how many takes were drawn.
        copies: takes that were better but copy too much.
    """

    score: Score
    originality: Originality | None
    take: int
    drawn: int
    copies: int

    @property
    def acceptable(self) -> bool:
        """Whether it may be served without looking for another."""
        return self.playable and (self.originality is None or self.originality.acceptable)

    @property
    def playable(self) -> bool:
        """Whether it is short enough to be made sound."""
        return self.score.duration_s <= DURATION_MAX_S


@dataclass(frozen=True, slots=True)
class Judge:
    """Chooses among takes.

    Attributes:
        bands: of measures in `data.repetition.REPETITION`, what 90 of 100 human excerpts lie within: (low, high).
        originality: index of the training music, or None to choose without looking for copies.
        listener: fitted to moods in the training music, or None to go by the literature alone.
    """

    bands: Bands
    originality: Index | None
    listener: Listener | None = None

    @classmethod
    def of(cls, checkpoint: Checkpoint, originality: Index | None) -> Judge:
        """The judge of a checkpoint's takes: its sidecar may have bands, `limits.bands`, as {measure: [low, high]}.

        It may have a `listener` as well (`Listener.as_dict`).

        Raises:
            CheckpointProblem: a band has no numbers or belongs to no measure that is known here; no such listener.
        """
        found = checkpoint.sidecar["limits"].get("bands", {})
        try:
            bands = {name: (float(low), float(high)) for name, (low, high) in found.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointProblem(f"The bands in {SIDECAR} of {checkpoint.id} are no pairs of numbers.") from error
        if unknown := bands.keys() - REPETITION.keys():
            raise CheckpointProblem(
                f"{SIDECAR} of {checkpoint.id} has a band for {min(unknown)!r}, which is not measured here: "
                f"known are {', '.join(REPETITION)}."
            )
        told = checkpoint.sidecar.get("listener")
        try:
            listener = None if told is None else Listener.from_dict(told)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointProblem(f"The listener in {SIDECAR} of {checkpoint.id} is damaged ({error}).") from error
        return cls(bands, originality, listener)

    def choose(self, takes: Sequence[IntArray], request: ComposeRequest, plan: Plan, first: int = 0) -> Chosen:
        """The best of some takes; where all copy too much, the most original.

        Args:
            takes: [request.length_notes, 5] int64 each, at least one.
            request: of which they are takes.
            plan: of the request.
            first: number of the first of them.
        """
        scores = [to_score(tokens, plan) for tokens in takes]
        ranks = [self.rank(score, request, plan) for score in scores]
        order = sorted(range(len(takes)), key=lambda take: (ranks[take], take))  # the best first
        drawn = first + len(takes)
        checked: list[Chosen] = []
        for take in order:
            copies = sum(chosen.playable for chosen in checked)
            checked.append(Chosen(scores[take], self._check(scores[take], request), first + take, drawn, copies))
            if checked[-1].acceptable:
                return checked[-1]
        return most_original(checked)

    def rank(self, score: Score, request: ComposeRequest, plan: Plan) -> tuple[int, float]:
        """Sorts the better of several takes first: faults (no ending, a long silence), and the nats against it."""
        excerpted = excerpts(score) if self.bands else []
        outside = 0
        for name, (low, high) in self.bands.items():
            if excerpted:  # a shorter piece has too little room to repeat itself in
                outside += not low <= np.mean([REPETITION[name](excerpt) for excerpt in excerpted]) <= high
        found = attributes(score)
        nats = -mood_log_shares(found)[request.mood] + _BAND_NATS * outside
        if self.listener is not None:
            nats -= float(self.listener.log_shares(features_of(found)[None])[0, MOODS.index(request.mood)])
        faults = (not ending(score, plan.key.tonic).ends) + (longest_silence_s(score) > _SILENCE_MAX_S)
        return faults, nats

    def _check(self, score: Score, request: ComposeRequest) -> Originality | None:
        """What the notes that the model wrote share with the training music.

        An opening does not count: of a piece of ours it was checked there, and any other is whose it is. Drawing again
        could change nothing in it.
        """
        if self.originality is None:
            return None
        return self.originality.check(Score(score.notes[len(request.opening or ()) :], score.tempo_bpm))


def most_original(takes: Sequence[Chosen]) -> Chosen:
    """The one of several that can be played and shares least with the training music."""

    def rank(take: Chosen) -> tuple[bool, tuple[bool, int, float]]:
        return not take.playable, take.originality.rank if take.originality else (False, 0, 0.0)

    return min(takes, key=rank)
