"""Pieces -> examples -> batches for stateful truncated back-propagation through time.

A batch has B lanes. A lane plays one segment of a piece after the other, `sequence_notes` at a time, and the LSTM's
state travels with it; where a segment begins, the state is reset (Williams & Peng 1990, truncated BPTT).
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.controls import CONTROLS, NOT_TOLD, controls
from data.corpus import Piece
from data.keys import estimate_key, transpose
from data.repetition import EXCERPT_NOTES
from data.score import Score
from data.tokens import ATTRIBUTES, CONDITIONS, MOOD, PITCH, IntArray, conditions, encode, mood_index

_TEMPO_MIN_BPM, _TEMPO_MAX_BPM = 40.0, 200.0  # of a piece written otherwise
NO_NOTE = np.array([attribute.size for attribute in ATTRIBUTES])  # the "previous note" of the first


@dataclass(frozen=True, slots=True)
class Example:
    """One piece as the model sees it.

    Attributes:
        tokens: [T, 5] int64.
        conditions: [T, 6 + controls] int64.
        variants: the same piece written otherwise, for training.
    """

    tokens: IntArray
    conditions: IntArray
    variants: tuple[Example, ...] = ()

    def told(self, values: Sequence[int]) -> Example:
        """The same piece with other controls."""
        told = self.conditions.copy()
        told[:, len(CONDITIONS) :] = values
        return replace(self, conditions=told)


def to_example(piece: Piece, mood_confidence: float = 0.0, *, otherwise: bool = False) -> Example:
    """Tokens and conditions of a piece, controls included, moved so that its estimated tonic is C.

    One key for all spares a small model from learning each figure twelve times (Boulanger-Lewandowski et al. 2012 did
    the same with C major and C minor); the sampler moves a finished piece to the key that was asked for.

    Args:
        piece: of at least one note.
        mood_confidence: a mood that is less sure is "not known".
        otherwise: with the variants in half and in double note values, where these can be written.
    """
    mood = piece.mood if piece.mood_confidence >= mood_confidence else None
    key, _ = estimate_key(piece.score.notes)
    written = transpose(piece.score, shift_to_tonic(-key.tonic))

    def example(score: Score) -> Example:
        tokens = encode(score)
        return Example(
            tokens,
            conditions(tokens, mood=mood, mode=key.mode, tempo_bpm=score.tempo_bpm, controls=controls(score)),
        )

    variants = map(example, _rewritten(written)) if otherwise else ()
    return replace(example(written), variants=tuple(variants))


def _rewritten(score: Score) -> Iterator[Score]:
    """The same sound in half and in double note values, at a tempo that a mood may have."""
    notes = score.notes
    if score.tempo_bpm / 2 >= _TEMPO_MIN_BPM and not any(n.start_step % 2 or n.duration_steps % 2 for n in notes):
        halved = (replace(n, start_step=n.start_step // 2, duration_steps=n.duration_steps // 2) for n in notes)
        yield Score(tuple(halved), score.tempo_bpm / 2)
    if score.tempo_bpm * 2 <= _TEMPO_MAX_BPM:
        doubled = (replace(n, start_step=n.start_step * 2, duration_steps=n.duration_steps * 2) for n in notes)
        yield Score(tuple(doubled), score.tempo_bpm * 2)


def shift_to_tonic(semitones: int) -> int:
    """The same shift modulo 12 by the shortest way: -6 to 5."""
    return (semitones + 6) % 12 - 6


def longest_pitch_run(tokens: IntArray) -> int:
    """The most notes of one pitch in a row, in score order, over all parts."""
    longest = run = 0
    previous = -1
    for pitch in tokens[:, PITCH].tolist():
        run = run + 1 if pitch == previous else 1
        previous = pitch
        longest = max(longest, run)
    return longest


def usual_pitch_run(examples: Sequence[Example]) -> int:
    """The longest run that 90 of 100 stretches stay within: the bound on what the sampler may repeat.

    A stretch has `EXCERPT_NOTES` notes, as long as what people ask for: in a longer one a run is more likely.
    """
    stretches = [
        example.tokens[start : start + EXCERPT_NOTES]
        for example in examples
        for start in range(0, len(example.tokens), EXCERPT_NOTES)
    ]
    return int(np.percentile([longest_pitch_run(tokens) for tokens in stretches], 90))


@dataclass(frozen=True, slots=True)
class Batch:
    """One step of training.

    Attributes:
        previous: [B, T, 5] int64, the note before each target.
        conditions: [B, T, 6 + controls] int64.
        target: [B, T, 5] int64.
        mask: [B, T] bool, False beyond the end of a segment.
        starts: [B] bool, True where a segment begins and the state is reset.
    """

    previous: Tensor
    conditions: Tensor
    target: Tensor
    mask: Tensor
    starts: Tensor


@dataclass(frozen=True, slots=True)
class _Segment:
    example: Example
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How the training side is changed at random; nothing by default.

    Attributes:
        rewritten: share of pieces that are taken in other note values (`Example.variants`).
        semitones: pieces move by up to so many, up or down.
        hidden: the probability that a piece is not told its mood; and that of each control; and of all controls.
        untold: share of pieces that are told neither mood nor any control, which is what guidance moves away from.
    """

    rewritten: float = 0.0
    semitones: int = 0
    hidden: float = 0.0
    untold: float = 0.0

    def of(self, example: Example, rng: np.random.Generator) -> Example:
        """A piece as it is shown this time."""
        if example.variants and rng.random() < self.rewritten:
            example = example.variants[rng.integers(len(example.variants))]
        if self.semitones:
            tokens = example.tokens.copy()
            tokens[:, PITCH] += rng.integers(-self.semitones, self.semitones + 1)
            if tokens[:, PITCH].min() >= 0 and tokens[:, PITCH].max() < ATTRIBUTES[PITCH].size:
                example = replace(example, tokens=tokens)
        if self.hidden or self.untold:
            told = example.conditions.copy()
            nothing = rng.random() < self.untold
            hidden = (rng.random(len(CONTROLS)) < self.hidden) | (rng.random() < self.hidden) | nothing
            told[:, len(CONDITIONS) :] = np.where(hidden, NOT_TOLD, told[:, len(CONDITIONS) :])
            if rng.random() < self.hidden or nothing:
                told[:, MOOD] = mood_index(None)
            example = replace(example, conditions=told)
        return example


NO_AUGMENTATION = Augmentation()


def segments(
    examples: Sequence[Example],
    segment_notes: int,
    rng: np.random.Generator | None,
    augmentation: Augmentation = NO_AUGMENTATION,
) -> list[_Segment]:
    """Cut pieces into stretches of at most `segment_notes`; with `rng`, in random order and from a random first cut."""
    result: list[_Segment] = []
    for plain in examples:
        example = plain if rng is None else augmentation.of(plain, rng)
        length = len(example.tokens)
        first = min(length, segment_notes)
        if rng is not None and length > segment_notes:
            first = int(rng.integers(segment_notes // 2, segment_notes + 1))
        cuts = [0, *range(first, length, segment_notes), length]
        result.extend(_Segment(example, a, b) for a, b in itertools.pairwise(cuts))
    if rng is not None:
        result = [result[i] for i in rng.permutation(len(result))]
    return result


def batches(
    examples: Sequence[Example],
    *,
    batch: int,
    sequence_notes: int,
    segment_notes: int,
    rng: np.random.Generator | None,
    augmentation: Augmentation = NO_AUGMENTATION,
) -> Iterator[Batch]:
    """One epoch: every note of every piece once.

    Args:
        examples: the pieces.
        batch: B, lanes.
        sequence_notes: T, notes a step.
        segment_notes: pieces are cut here.
        rng: order and cuts of this epoch, or None for the given order (validation).
        augmentation: of the pieces, with `rng`.
    """
    queue = deque(segments(examples, segment_notes, rng, augmentation))
    lanes: list[_Segment | None] = [None] * batch
    while True:
        previous = np.zeros((batch, sequence_notes, len(ATTRIBUTES)), dtype=np.int64)
        target = np.zeros_like(previous)
        condition = np.zeros((batch, sequence_notes, examples[0].conditions.shape[1]), dtype=np.int64)
        mask = np.zeros((batch, sequence_notes), dtype=bool)
        starts = np.zeros(batch, dtype=bool)
        for lane in range(batch):
            segment = lanes[lane]
            if segment is None:
                if not queue:
                    continue
                segment = queue.popleft()
                starts[lane] = True
            tokens, begin = segment.example.tokens, segment.start
            stop = min(begin + sequence_notes, segment.end)
            size = stop - begin
            target[lane, :size] = tokens[begin:stop]
            previous[lane, 1:size] = tokens[begin : stop - 1]
            previous[lane, 0] = tokens[begin - 1] if begin else NO_NOTE
            condition[lane, :size] = segment.example.conditions[begin:stop]
            mask[lane, :size] = True
            lanes[lane] = _Segment(segment.example, stop, segment.end) if stop < segment.end else None
        if not mask.any():
            return
        yield Batch(*(torch.from_numpy(array) for array in (previous, condition, target, mask, starts)))
