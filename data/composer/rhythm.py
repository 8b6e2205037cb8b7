"""Metre and rhythm: bars, divisions of a span into notes, and evenly spread patterns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.composer.chance import happens, weighed
from data.score import STEPS_PER_BEAT


@dataclass(frozen=True, slots=True)
class Meter:
    """A metre on the grid of steps."""

    name: str
    groups: tuple[int, ...]  # lengths in steps of the groups of one bar; each begins with an accent
    tick_steps: int  # the usual subdivision: 6 an eighth, 4 an eighth of a triplet

    @property
    def bar_steps(self) -> int:
        """Length of a bar in steps."""
        return sum(self.groups)

    def strength(self, step: int) -> int:
        """Metrical weight of a step from the start of the piece: 3 downbeat, 2 group, 1 beat, 0 between."""
        within = step % self.bar_steps
        if within == 0:
            return 3
        start = 0
        for group in self.groups:
            if within == start:
                return 2
            if start < within < start + group and (within - start) % STEPS_PER_BEAT == 0:
                return 1
            start += group
        return 0


METERS: dict[str, Meter] = {
    meter.name: meter
    for meter in (
        Meter("4/4", (24, 24), 6),
        Meter("12/8", (24, 24), 4),
        Meter("3/4", (36,), 6),
        Meter("6/8", (18, 18), 6),
        Meter("5/4", (36, 24), 6),
        Meter("7/8", (18, 12, 12), 6),
    )
}

# How a span may be divided, with a weight; divided further while `liveliness` asks for it.
_DIVISIONS: dict[int, dict[tuple[int, ...], float]] = {
    12: {(6, 6): 3, (9, 3): 1, (8, 4): 1, (3, 9): 0.3, (6, 3, 3): 0.5},
    18: {(12, 6): 3, (6, 12): 1.5, (6, 6, 6): 1.5, (9, 9): 0.3},
    24: {(12, 12): 3, (18, 6): 3, (6, 18): 0.8, (6, 12, 6): 1, (8, 8, 8): 0.8, (16, 8): 0.8, (9, 3, 12): 0.6},
    30: {(18, 12): 2, (12, 18): 1, (24, 6): 1},
    36: {(24, 12): 3, (12, 24): 1.2, (18, 18): 1.5, (12, 12, 12): 2, (30, 6): 1, (18, 6, 12): 1},
    42: {(18, 24): 2, (24, 18): 2, (30, 12): 1},
    48: {(24, 24): 2.5, (36, 12): 3, (12, 36): 0.8, (18, 18, 12): 1.5, (30, 6, 12): 1, (32, 16): 0.6, (18, 30): 0.8},
    60: {(36, 24): 3, (24, 36): 1.5, (48, 12): 1},
}


def divide(rng: np.random.Generator, span_steps: int, liveliness: float, offset_steps: int = 0) -> list[int]:
    """Note lengths that fill a span: long and few at liveliness 0, short and many at 1.

    Args:
        rng: source of chance.
        span_steps: length to fill, a bar or a part of one.
        liveliness: in [0, 1].
        offset_steps: where the span begins; triplets are used on the beat only, to stay on the grid.

    Returns:
        lengths in steps, adding up to `span_steps`.
    """
    table = _DIVISIONS.get(span_steps)
    if table is None:
        if span_steps > 60:
            half = span_steps // 2 // 6 * 6
            first = divide(rng, half, liveliness, offset_steps)
            return first + divide(rng, span_steps - half, liveliness, offset_steps + half)
        return [span_steps]
    beats = span_steps / STEPS_PER_BEAT
    if not happens(rng, min(0.97, liveliness * (0.45 + 0.28 * beats))):
        return [span_steps]
    if offset_steps % STEPS_PER_BEAT:
        table = {lengths: weight for lengths, weight in table.items() if all(length % 3 == 0 for length in lengths)}
    out: list[int] = []
    at = offset_steps
    for length in weighed(rng, table):
        out += divide(rng, length, liveliness * 0.8, at) if length > STEPS_PER_BEAT // 2 else [length]
        at += length
    return out


def euclid(onsets: int, slots: int, turn: int = 0) -> tuple[bool, ...]:
    """Onsets spread as evenly as possible over slots, rotated (Toussaint 2005, "The Euclidean algorithm ...").

    Returns:
        [slots] bools, `onsets` of them True.
    """
    pattern = [(index * onsets) % slots < onsets for index in range(slots)]
    turn %= slots
    return tuple(pattern[turn:] + pattern[:turn])
