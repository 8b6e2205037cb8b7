"""Themes: phrases built from one motive, and what becomes of them in the course of a piece."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.composer import motives
from data.composer.chance import between, happens, pick
from data.composer.motives import Cell, Motive
from data.composer.rhythm import Meter

Treatment = Literal["none", "hint", "state", "vary", "develop", "augment", "second", "climax", "recall"]


@dataclass(frozen=True, slots=True)
class Theme:
    """A theme as elements of equal length; call and answer take the even and the odd ones."""

    motive: Motive
    elements: tuple[Motive, ...]
    element_steps: int


def compose_theme(
    rng: np.random.Generator,
    meter: Meter,
    liveliness: tuple[float, float],
    contours: Mapping[str, float],
    sparse: float,
    motive: Motive | None = None,
) -> Theme:
    """A theme of four elements.

    Args:
        rng: source of chance.
        meter: its bars.
        liveliness: range in [0, 1] to draw from.
        contours: weights over `motives.CONTOURS`.
        sparse: probability that every second element is silence.
        motive: idea to build on; None invents one.
    """
    lively = between(rng, *liveliness)
    if motive is None:
        motive = motives.invent(rng, meter, 1 if meter.bar_steps >= 42 and happens(rng, 0.35) else 2, lively, contours)
    length = motives.steps_of(motive)
    bars = length // meter.bar_steps
    other = motives.invent(rng, meter, bars, lively, contours)
    if happens(rng, 0.5):  # kinship: the contrasting idea keeps the rhythm of the first
        other = motives.inverted(motive) if happens(rng, 0.5) else motives.retrograde(motive)
    shift = pick(rng, (1, -1, 2, -2, 3))
    rest: Motive = (Cell(None, length),)
    home = pick(rng, (0, 0, 0, 4, 2))
    if happens(rng, sparse):
        elements = (motive, rest, motives.closing(motives.transposed(motive, shift), home), rest)
    else:
        sentence = (
            motive,
            motives.transposed(motive, shift),
            motives.repeated_head(motive, length, -1 if shift > 0 else 1),
            motives.closing(motive, home),
        )
        period = (motive, other, motive, motives.closing(other, home))
        departure = (motive, motives.ornamented(rng, motive, 0.5), other, motives.closing(motive, home))
        spun = (motive, motives.closing(other, 4), motives.transposed(other, shift), motives.closing(motive, home))
        elements = pick(rng, (sentence, period, departure, spun))
    return Theme(motive, elements, length)


def treat(rng: np.random.Generator, theme: Theme, treatment: Treatment) -> tuple[Motive, ...]:
    """The elements that a section plays: all of `theme.element_steps`, some of them rests.

    Args:
        rng: source of chance.
        theme: what to treat; for "second" the caller passes the second theme.
        treatment: what to do with it.
    """
    length = theme.element_steps
    rest: Motive = (Cell(None, length),)
    motive = theme.motive
    if treatment == "none":
        return (rest,)
    if treatment == "hint":
        head = motives.fragment(motive, max(2, (len(motive) + 1) // 2))
        return pick(rng, ((rest, head, rest, rest), (rest, rest, head, rest), (head, rest, motive, rest)))
    if treatment == "vary":
        shift = pick(rng, (0, 0, 2, -2))
        varied = [
            motives.transposed(motives.ornamented(rng, element, 0.35) if happens(rng, 0.6) else element, shift)
            for element in theme.elements[:-1]
        ]
        return (*varied, theme.elements[-1])
    if treatment == "develop":
        upside_down = motives.inverted(motive)
        climb = pick(rng, (1, 1, 2, -1))
        return pick(
            rng,
            (
                (
                    upside_down,
                    motives.transposed(upside_down, climb),
                    motives.repeated_head(motive, length, climb),
                    motive,
                ),
                (
                    motives.repeated_head(motive, length, climb),
                    motives.repeated_head(motives.transposed(motive, climb), length, climb),
                    upside_down,
                    theme.elements[-1],
                ),
                (
                    motive,
                    motives.transposed(motive, 2 * climb),
                    motives.retrograde(motive),
                    motives.repeated_head(motive, length, climb),
                ),
            ),
        )
    if treatment == "augment":
        wide = motives.augmented(motives.thinned(motive, 12))
        return (motives.cut(wide, length), _rest_of(wide, length), rest, theme.elements[-1])
    if treatment == "recall":
        wide = motives.augmented(motives.thinned(motive, 12))
        calm = motives.thinned(theme.elements[-1], 12)
        return pick(rng, ((motive, rest, calm, rest), (motives.cut(wide, length), _rest_of(wide, length), rest, calm)))
    return theme.elements  # state, second, climax


def _rest_of(motive: Motive, length_steps: int) -> Motive:
    """What follows the first `length_steps` of a motive, filled up to the same length; cut notes are not repeated."""
    out: list[Cell] = []
    position = 0
    for cell in motive:
        if position >= length_steps:
            out.append(cell)
        elif position + cell.steps > length_steps:
            out.append(Cell(None, position + cell.steps - length_steps))
        position += cell.steps
    return motives.cut(tuple(out), length_steps)
