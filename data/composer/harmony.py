"""Chords and progressions: slow, modal and coloured rather than functional.

A progression is first a list of `Step`s (roots, sometimes with a chromatic quality or a bass of its own) drawn by
one of the `IDIOMS`; `dress` then gives each step a chord shape whose dissonance suits the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from math import exp
from typing import Literal

import numpy as np

from data.composer.chance import happens, pick, weighed, whole
from data.composer.theory import Scale, adapted

# Consonance of an interval class, from listeners' ratings: Huron 1994, "Interval-class content in equally tempered
# pitch-class sets", Music Perception 11(3), table 2. Index 0 (unisons and octaves) counts as neutral.
INTERVAL_CLASS_CONSONANCE = (0.0, -1.428, -0.582, 0.594, 0.386, 1.240, -0.453)

Quality = Literal["", "major", "minor"]


@dataclass(frozen=True, slots=True)
class Step:
    """One harmony of a progression before it has a shape."""

    root: int  # pitch class
    quality: Quality = ""  # forced triad of a chromatic harmony; "" takes the tones of the scale
    bass: int | None = None  # pitch class under it where that is not the root


@dataclass(frozen=True, slots=True)
class Chord:
    """A harmony: pitch classes in order of importance, its bass and the scale that melodies use over it."""

    root: int
    tones: tuple[int, ...]
    bass: int
    scale: tuple[int, ...]  # sorted, contains `tones`


# A member of a chord by the semitones above the root that can serve, best first; the scale decides.
_MEMBERS: dict[str, tuple[int, ...]] = {
    "minor second": (1, 2),
    "second": (2, 1),
    "third": (3, 4),
    "fourth": (5, 6, 4),
    "tritone": (6, 5),
    "fifth": (7, 6, 8),
    "sixth": (9, 8),
    "seventh": (10, 11),
}
SHAPES: dict[str, tuple[str, ...]] = {
    "fifth": ("fifth",),
    "triad": ("third", "fifth"),
    "sus2": ("fifth", "second"),
    "sus4": ("fifth", "fourth"),
    "add9": ("third", "fifth", "second"),
    "sixth": ("third", "fifth", "sixth"),
    "seventh": ("third", "seventh", "fifth"),
    "ninth": ("third", "seventh", "second", "fifth"),
    "quartal": ("fourth", "seventh", "third"),
    "quintal": ("fifth", "second", "sixth"),
    "tritone": ("tritone", "third", "seventh"),
    "rub": ("fifth", "minor second", "third"),
    "cluster": ("minor second", "third", "fourth"),
}


@cache
def strain(tones: tuple[int, ...]) -> float:
    """Dissonance of a pitch-class set: the mean of its interval-class consonances, negated. About -1 to 1.4."""
    pairs = list(combinations(tones, 2))
    if not pairs:
        return -1.0
    classes = (min((a - b) % 12, (b - a) % 12) for a, b in pairs)
    return -sum(INTERVAL_CLASS_CONSONANCE[interval] for interval in classes) / len(pairs)


@cache
def _tones(root: int, quality: Quality, shape: str, scale: tuple[int, ...], minor: bool) -> tuple[int, ...]:
    """The pitch classes of a shape on a root, root first, taken from the scale wherever it has them."""
    tones = [root]
    for member in SHAPES[shape]:
        choices = _MEMBERS[member]
        if member == "third" and (quality == "major" or (not quality and not minor)):
            choices = (4, 3)
        if quality and member in {"third", "fifth"}:
            choices = choices[:1]
            tones.append((root + choices[0]) % 12)
            continue
        inside = [(root + interval) % 12 for interval in choices if (root + interval) % 12 in scale]
        if inside and inside[0] not in tones:
            tones.append(inside[0])
    if len(tones) == 1:  # a sparse scale has none of them: its next tone but one
        tones.append(sorted(scale, key=lambda tone: (tone - root) % 12)[min(2, len(scale) - 1)])
    return tuple(tones)


def dress(
    rng: np.random.Generator, step: Step, scale: Scale, shapes: Mapping[str, float], target_strain: float
) -> Chord:
    """Choose a shape for a step: by the mood's liking for it and its nearness to the wanted dissonance.

    Args:
        rng: source of chance.
        step: the harmony.
        scale: of the section.
        shapes: weights over `SHAPES`.
        target_strain: wanted `strain`, about -1 (pure) to 1 (harsh).
    """
    pitch_classes = scale.pitch_classes
    options: dict[tuple[int, ...], float] = {}
    for shape, weight in (_CHROMATIC_SHAPES if step.quality else shapes).items():
        tones = _tones(step.root, step.quality, shape, pitch_classes, scale.mode.is_minor)
        distance = (strain(tones) - target_strain) / 0.45
        options[tones] = options.get(tones, 0.0) + weight * exp(-distance * distance)
    tones = weighed(rng, options)
    bass = step.root if step.bass is None else step.bass
    return Chord(step.root, tones, bass, adapted(pitch_classes, tuple(sorted({*tones, bass}))))


# A chromatic harmony is told by its plain triad: anything richer would blur the third relation.
_CHROMATIC_SHAPES = {"triad": 3.0, "add9": 1.0, "fifth": 0.3}

Idiom = Callable[[np.random.Generator, Scale, int], list[Step]]


@cache
def _appeal(scale: Scale, degree: int) -> float:
    """How much a mode likes a chord on this degree: colour tones attract, roots without a perfect fifth repel."""
    tones = scale.pitch_classes
    root = tones[degree]
    appeal = 1.0
    colour = {(scale.tonic + interval) % 12 for interval in scale.mode.colour}
    if colour & {root, (root + 3) % 12, (root + 4) % 12, (root + 7) % 12}:
        appeal *= 1.6
    if (root + 7) % 12 not in tones:
        appeal *= 0.06
    return appeal


def _next_degree(rng: np.random.Generator, scale: Scale, degree: int) -> int:
    size = len(scale.mode.intervals)
    weights = {}
    for other in range(size):
        if other != degree:
            distance = min((other - degree) % size, (degree - other) % size)
            homing = 1.5 if other == 0 else 1.0  # the tonic comes back often: nothing else says where home is
            weights[other] = homing * _appeal(scale, other) * {1: 1.1, 2: 1.5, 3: 1.2}.get(distance, 0.8)
    return weighed(rng, weights)


def drift(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """From the tonic by third, fourth and step through the chords that the mode likes; not ending on the tonic."""
    degree, degrees = 0, [0]
    while len(degrees) < count:
        degree = _next_degree(rng, scale, degree)
        degrees.append(degree)
    if count > 2 and degrees[-1] == 0:
        degrees[-1] = _next_degree(rng, scale, 0)
    return [Step(scale.pitch_classes[degree]) for degree in degrees]


def shuttle(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """Two or three chords going to and fro, the tonic and what colours it (Tagg 2014, chord shuttles)."""
    other = _next_degree(rng, scale, 0)
    third = _next_degree(rng, scale, other)
    order = pick(rng, ((0, other), (0, 0, other), (0, other, 0, third), (0, other, other), (0, other, third, other)))
    return [Step(scale.pitch_classes[order[index % len(order)]]) for index in range(count)]


def pedal(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """`drift` over a held tonic."""
    return [Step(step.root, bass=scale.tonic) for step in drift(rng, scale, count)]


def static(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """The tonic throughout, with a neighbour now and then: only shapes and voicings change."""
    neighbour = _next_degree(rng, scale, 0)
    roots = [neighbour if index and happens(rng, 0.2) else 0 for index in range(count)]
    return [Step(scale.pitch_classes[root], bass=scale.tonic) for root in roots]


def _over_bass(rng: np.random.Generator, scale: Scale, bass: int) -> Step:
    """A chord that contains this bass tone, on a root that the mode likes."""
    tones = scale.pitch_classes
    weights: dict[int, float] = {}
    for degree, root in enumerate(tones):
        if (bass - root) % 12 in {0, 3, 4, 7}:
            weights[root] = _appeal(scale, degree) * (2.0 if root == bass else 1.0)
    return Step(weighed(rng, weights), bass=bass)


def lament(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """A bass that falls from the tonic, in the scale or by semitones (Rosand 1979, the descending tetrachord)."""
    if happens(rng, 0.35) and count >= 5:
        basses = [(scale.tonic - index) % 12 for index in range(min(count, 6))]
        inside = [tone if tone in scale.pitch_classes else None for tone in basses]
        steps = [
            _over_bass(rng, scale, bass) if tone is not None else Step((bass - 4) % 12, "major", bass)
            for bass, tone in zip(basses, inside, strict=True)
        ]
    else:
        falling = scale.pitch_classes[:1] + scale.pitch_classes[:0:-1]
        steps = [_over_bass(rng, scale, bass) for bass in falling[: max(2, min(count, 4 + whole(rng, 0, 2)))]]
    return [steps[index % len(steps)] for index in range(count)]


def rise(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """A bass that climbs by step from the tonic, then falls back."""
    size = len(scale.mode.intervals)
    start = pick(rng, (0, 0, size - 2))
    length = min(count, 4 + whole(rng, 0, 1))
    steps = [_over_bass(rng, scale, scale.pitch_classes[(start + index) % size]) for index in range(length)]
    return [steps[index % length] for index in range(count)]


# Four-chord turns of film and popular music by scale degree (0 is the tonic); any heptatonic mode colours them.
_TURNS = (
    (0, 5, 2, 6), (0, 5, 3, 4), (0, 6, 5, 6), (0, 3, 5, 4), (0, 2, 6, 3), (0, 4, 5, 3), (5, 3, 0, 4), (3, 0, 4, 5),
    (0, 2, 3, 3), (0, 6, 3, 0), (0, 3, 0, 4), (5, 6, 0, 0), (0, 2, 5, 1), (3, 5, 0, 6), (0, 1, 5, 3), (0, 5, 1, 6),
    (0, 3, 6, 2), (5, 2, 3, 0), (0, 4, 2, 3), (0, 2, 5, 6),
)  # fmt: skip


def turn(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """A four-chord turn, repeated, its last chord now and then exchanged."""
    size = len(scale.mode.intervals)
    degrees = [degree % size for degree in pick(rng, _TURNS)]
    if degrees[0] and happens(rng, 0.5):
        degrees = [0, *degrees[1:]]
    out = []
    for index in range(count):
        degree = degrees[index % 4]
        if (scale.pitch_classes[degree] + 7) % 12 not in scale.pitch_classes:
            degree = (degree + 2) % size  # a diminished chord would stand out: the third above it serves
        if index % 8 == 7 and happens(rng, 0.6):
            degree = _next_degree(rng, scale, degrees[2])
        out.append(Step(scale.pitch_classes[degree]))
    return out


# Triad transformations as (semitones the root moves, does the quality change) from a major and from a minor triad:
# Cohn 2012, "Audacious Euphony"; their filmic meanings: Lehman 2018, "Hollywood Harmony", chapter 3.
_TRANSFORMATIONS: dict[str, tuple[tuple[int, bool], tuple[int, bool]]] = {
    "relative": ((9, True), (3, True)),
    "leading tone": ((4, True), (8, True)),
    "slide": ((1, True), (11, True)),
    "hexatonic pole": ((8, True), (4, True)),
    "major third down": ((8, False), (8, False)),
    "major third up": ((4, False), (4, False)),
    "minor third up": ((3, False), (3, False)),
    "minor third down": ((9, False), (9, False)),
    "tritone": ((6, False), (6, False)),
    "whole tone up": ((2, False), (2, False)),
}


def mediants(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """Triads joined by chromatic thirds and their kin, wandering out from the tonic and turned back halfway."""
    quality: Quality = "minor" if scale.mode.is_minor else "major"
    step = Step(scale.tonic, quality)
    steps = [step]
    names = [pick(rng, tuple(_TRANSFORMATIONS)) for _ in range(2)]
    while len(steps) < min(count, 4):
        shift, changes = _TRANSFORMATIONS[names[len(steps) % 2]][step.quality == "minor"]
        other: Quality = "major" if step.quality == "minor" else "minor"
        step = Step((step.root + shift) % 12, other if changes else step.quality)
        steps.append(step)
    return [steps[index % len(steps)] for index in range(count)]


def rotation(rng: np.random.Generator, scale: Scale, count: int) -> list[Step]:
    """Roots a fixed interval apart that stay in the scale: the axes of a symmetric mode, else its own thirds."""
    tones = scale.pitch_classes
    periods = [shift for shift in (2, 3, 4, 6) if {(tone + shift) % 12 for tone in tones} == set(tones)]
    if not periods:
        size = len(tones)
        leap = pick(rng, (2, size - 2, 3))
        return [Step(tones[index * leap % size]) for index in range(count)]
    shift = pick(rng, periods) * pick(rng, (1, -1))
    return [Step((scale.tonic + index * shift) % 12) for index in range(count)]


IDIOMS: dict[str, Idiom] = {
    idiom.__name__: idiom for idiom in (drift, shuttle, pedal, static, lament, rise, turn, mediants, rotation)
}
