"""Motives: short ideas in scale degrees, and the ways in which they are varied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.composer.chance import happens, pick, weighed, whole
from data.composer.rhythm import Meter, divide


@dataclass(frozen=True, slots=True)
class Cell:
    """One note of a motive, or a rest."""

    degree: int | None  # scale degrees from the tonic, None for a rest
    steps: int


Motive = tuple[Cell, ...]

# Which way a line leans (degrees a note, averaged) over its course, by the shape's name; Huron 1996, "The melodic arch
# in Western folksongs", for how common they are.
CONTOURS: dict[str, tuple[float, ...]] = {
    "arch": (1.0, 0.8, 0.0, -0.8, -1.0),
    "rise": (0.6, 0.6, 0.8, 0.6, 0.8),
    "fall": (-0.2, -0.7, -0.7, -0.7, -0.5),
    "wave": (0.9, -0.9, 0.9, -0.9, 0.5),
    "dip": (-0.9, -0.6, 0.2, 0.8, 0.6),
    "hover": (0.3, -0.3, 0.3, -0.3, 0.0),
}
_SPAN = 8  # greatest distance in degrees between a motive's lowest and highest note
_LEAPS = {3: 1.0, 4: 1.6, 5: 1.0, 7: 0.8}  # degrees of a motive's one signature leap


def steps_of(motive: Motive) -> int:
    """Length in steps."""
    return sum(cell.steps for cell in motive)


def invent(
    rng: np.random.Generator, meter: Meter, bars: int, liveliness: float, contours: Mapping[str, float]
) -> Motive:
    """A new motive.

    A line that mostly steps, leans with its contour, takes at most one signature leap and fills a leap by turning back
    (Meyer 1973, gap-fill); it ends on its longest note.

    Args:
        rng: source of chance.
        meter: its bars.
        bars: length, 1 or 2.
        liveliness: in [0, 1], see `divide`.
        contours: weights over `CONTOURS`.
    """
    lengths: list[int] = []
    while len(lengths) < 3:
        lengths = []
        for _ in range(bars):
            whole_bar = meter.bar_steps <= 48 and happens(rng, 0.4)
            for group in (meter.bar_steps,) if whole_bar else meter.groups:
                lengths += divide(rng, group, liveliness, sum(lengths))
        liveliness = min(1.0, liveliness + 0.2)  # two notes are no motive: try again, livelier
    if len(lengths) > 3 and happens(rng, 0.7):  # come to rest: the two last notes become one
        lengths[-2:] = [lengths[-2] + lengths[-1]]
    leans = CONTOURS[weighed(rng, contours)]
    count = len(lengths)
    leap_at = whole(rng, 1, max(1, count - 2)) if happens(rng, 0.65) else -1
    degrees = [pick(rng, (0, 0, 2, 4, 4, -3, 1))]
    owed = 0
    for index in range(1, count):
        lean = leans[min(4, index * 5 // count)]
        if index == leap_at:
            move = weighed(rng, _LEAPS) * (1 if happens(rng, 0.5 + lean / 2) else -1)
            owed = -1 if move > 0 else 1
        elif owed:
            move, owed = owed * (1 if happens(rng, 0.8) else 2), 0
        else:
            size = weighed(rng, {0: 0.7 if lengths[index] <= 6 else 0.25, 1: 3.0, 2: 1.1, 3: 0.3})
            move = size * (1 if happens(rng, 0.5 + lean / 2) else -1)
        degree = degrees[-1] + move
        if max([*degrees, degree]) - min([*degrees, degree]) > _SPAN:
            degree = degrees[-1] - move
        degrees.append(degree)
    return tuple(Cell(degree, length) for degree, length in zip(degrees, lengths, strict=True))


def transposed(motive: Motive, degrees: int) -> Motive:
    """Moved by scale degrees: a sequence, in the tonal sense."""
    return tuple(cell if cell.degree is None else replace(cell, degree=cell.degree + degrees) for cell in motive)


def inverted(motive: Motive) -> Motive:
    """Mirrored about its first note."""
    axis = next((cell.degree for cell in motive if cell.degree is not None), 0)
    return tuple(cell if cell.degree is None else replace(cell, degree=2 * axis - cell.degree) for cell in motive)


def retrograde(motive: Motive) -> Motive:
    """Backwards: pitches turned round, the rhythm kept so that it can still be recognised."""
    degrees = [cell.degree for cell in motive][::-1]
    return tuple(Cell(degree, cell.steps) for degree, cell in zip(degrees, motive, strict=True))


def augmented(motive: Motive) -> Motive:
    """Every length doubled."""
    return tuple(replace(cell, steps=cell.steps * 2) for cell in motive)


def fragment(motive: Motive, count: int) -> Motive:
    """The first `count` notes, and a rest in the place of the others."""
    head = motive[:count]
    missing = steps_of(motive) - steps_of(head)
    return (*head, Cell(None, missing)) if missing else head


def repeated_head(motive: Motive, length_steps: int, shift: int) -> Motive:
    """The head said again and again, `shift` degrees further each time: a development by liquidation."""
    half = fragment(motive, max(2, len(motive) // 2))
    head = tuple(cell for cell in half if cell.degree is not None)
    out: list[Cell] = []
    turn = 0
    while sum(cell.steps for cell in out) < length_steps:
        out += transposed(head, turn * shift)
        turn += 1
    return cut(tuple(out), length_steps)


def cut(motive: Motive, length_steps: int) -> Motive:
    """Shortened to a length, or filled with a rest up to it."""
    out: list[Cell] = []
    left = length_steps
    for cell in motive:
        if left <= 0:
            break
        out.append(replace(cell, steps=min(cell.steps, left)))
        left -= cell.steps
    if left > 0:
        out.append(Cell(None, left))
    return tuple(out)


def closing(motive: Motive, degree: int) -> Motive:
    """The same, brought to rest on a degree: the last notes approach it by step and the last one is the longest."""
    sounding = [cell for cell in motive if cell.degree is not None]
    if len(sounding) < 2:
        return (Cell(degree, steps_of(motive)),)
    near = sounding[0].degree or 0
    octave = round((near - degree) / 7) * 7
    kept = list(motive[: max(1, len(motive) - 2)])
    left = steps_of(motive) - sum(cell.steps for cell in kept)
    approach = 1 if (kept[-1].degree or 0) >= degree + octave else -1
    if left >= 12 and len(kept) > 1:
        short = 6 if left <= 24 else 12
        return (*kept, Cell(degree + octave + approach, short), Cell(degree + octave, left - short))
    return (*kept, Cell(degree + octave, left))


def ornamented(rng: np.random.Generator, motive: Motive, share: float) -> Motive:
    """Long notes split in two by a neighbour, each with probability `share`."""
    out: list[Cell] = []
    for cell in motive:
        if cell.degree is not None and cell.steps >= 12 and cell.steps % 2 == 0 and happens(rng, share):
            tail = 6 if cell.steps > 12 else cell.steps // 2
            out += [replace(cell, steps=cell.steps - tail), Cell(cell.degree + pick(rng, (1, -1)), tail)]
        else:
            out.append(cell)
    return tuple(out)


def thinned(motive: Motive, shortest_steps: int) -> Motive:
    """The outline: notes shorter than a length are swallowed by the one before."""
    out: list[Cell] = []
    for cell in motive:
        if out and cell.steps < shortest_steps:
            out[-1] = replace(out[-1], steps=out[-1].steps + cell.steps)
        else:
            out.append(cell)
    return tuple(out)
