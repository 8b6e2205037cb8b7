"""Forms: the order of sections, how tension runs through each, and what becomes of the theme in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from data.composer.chance import between, happens, pick, whole
from data.composer.themes import Treatment


@dataclass(frozen=True, slots=True)
class Plan:
    """One section as planned, before it has bars and harmony."""

    label: str  # sections of one label share their harmony
    weight: float  # its share of the piece
    rises_from: float  # tension in [0, 1] at its start
    rises_to: float  # and at its end
    treatment: Treatment


Form = Callable[[np.random.Generator], list[Plan]]


def arch(rng: np.random.Generator) -> list[Plan]:
    """A B C B A: out to a climax in the middle and back the same way."""
    return [
        Plan("A", 1.0, 0.05, 0.3, pick(rng, ("hint", "none", "augment"))),
        Plan("B", 1.0, 0.35, 0.6, "state"),
        Plan("C", between(rng, 1.0, 1.5), 0.65, 1.0, pick(rng, ("develop", "climax"))),
        Plan("B", 0.9, 0.7, 0.45, "vary"),
        Plan("A", 0.9, 0.35, 0.05, "recall"),
    ]


def accumulation(rng: np.random.Generator) -> list[Plan]:
    """One layer after another up to the fullest point, then a sudden drop to what it began with."""
    layers = whole(rng, 4, 6)
    middle: list[Treatment] = ["none", "state", "vary", "develop", "vary", "climax"]
    plans = [
        Plan("B" if index == layers - 2 else "A", 1.0, index / layers, (index + 1) / layers, middle[index])
        for index in range(layers)
    ]
    plans[-1] = replace(plans[-1], treatment="climax")
    return [*plans, Plan("A", 0.6, 0.25, 0.02, "recall")]


def ebb(rng: np.random.Generator) -> list[Plan]:
    """Begins full and loses its layers until almost nothing is left."""
    return [
        Plan("A", 1.0, 0.7, 1.0, "state"),
        Plan("B", 1.0, 0.9, 0.7, pick(rng, ("second", "develop"))),
        Plan("A", 1.0, 0.65, 0.45, "vary"),
        Plan("B", 0.8, 0.4, 0.25, "hint"),
        Plan("A", 1.0, 0.22, 0.0, "recall"),
    ]


def passacaglia(rng: np.random.Generator) -> list[Plan]:
    """Variations over one ground that never changes, growing and then letting go."""
    count = whole(rng, 5, 8)
    cycle: list[Treatment] = ["none", "state", "vary", "second", "develop", "vary", "climax"]
    peak = whole(rng, count // 2, count - 2)
    plans = []
    for index in range(count):
        height = index / peak if index <= peak else (count - 1 - index) / (count - 1 - peak)
        treatment = "recall" if index == count - 1 else "climax" if index == peak else cycle[index % len(cycle)]
        plans.append(Plan("A", 1.0, max(0.05, height - 0.15), min(1.0, height + 0.1), treatment))
    return plans


def two_panel(rng: np.random.Generator) -> list[Plan]:
    """Two pictures side by side, the second in other light, and a memory of the first."""
    return [
        Plan("A", 1.0, 0.1, 0.35, pick(rng, ("hint", "state"))),
        Plan("A", 1.0, 0.4, 0.55, pick(rng, ("state", "vary"))),
        Plan("B", 1.0, 0.25, 0.6, "second"),
        Plan("B", between(rng, 0.8, 1.2), 0.65, 0.95, "second"),
        Plan("A", 0.7, 0.35, 0.05, "recall"),
    ]


def rondo(rng: np.random.Generator) -> list[Plan]:
    """A B A C A: the refrain comes back changed, the episodes lead away from it."""
    return [
        Plan("A", 1.0, 0.1, 0.4, "state"),
        Plan("B", 0.9, 0.4, 0.7, "second"),
        Plan("A", 0.8, 0.3, 0.45, "vary"),
        Plan("C", 1.0, 0.5, 1.0, "develop"),
        Plan("A", 0.8, 0.8, 0.5, pick(rng, ("climax", "state"))),
        Plan("A", 0.6, 0.35, 0.05, "recall"),
    ]


def waves(rng: np.random.Generator) -> list[Plan]:
    """Three swells, each higher than the one before."""
    plans: list[Plan] = []
    labels = pick(rng, ("AABBAA", "AABBCA", "ABABCA"))
    rises: tuple[Treatment, ...] = ("hint", "state", "climax")
    falls: tuple[Treatment, ...] = ("none", "hint", "recall")
    for wave, crest in enumerate((between(rng, 0.35, 0.5), between(rng, 0.65, 0.8), 1.0)):
        plans.append(Plan(labels[2 * wave], 0.7, 0.08 + 0.1 * wave, crest, rises[wave]))
        plans.append(Plan(labels[2 * wave + 1], 0.5, crest * 0.9, 0.12 if wave < 2 else 0.03, falls[wave]))
    return plans


def drift(rng: np.random.Generator) -> list[Plan]:
    """No climax: a slowly turning surface whose tension wanders within a narrow band."""
    level = between(rng, 0.3, 0.5)
    count = whole(rng, 4, 6)
    treatments: tuple[Treatment, ...] = ("none", "hint", "state", "augment", "vary", "second")
    plans = []
    for index in range(count):
        after = min(0.75, max(0.15, level + between(rng, -0.2, 0.2)))
        label = "AABABC"[index]
        plans.append(Plan(label, between(rng, 0.7, 1.3), level, after, treatments[index]))
        level = after
    return [*plans, Plan("A", 0.8, level * 0.7, 0.05, "recall")]


def rupture(rng: np.random.Generator) -> list[Plan]:
    """A steady advance, broken off near its height into near silence, and resumed with all its force."""
    return [
        Plan("A", 0.9, 0.2, 0.4, pick(rng, ("hint", "none"))),
        Plan("A", 1.0, 0.45, 0.7, "state"),
        Plan("B", 0.8, 0.7, 0.85, "develop"),
        Plan("C", 0.6, 0.1, 0.25, pick(rng, ("hint", "augment"))),
        Plan("A", 1.1, 0.8, 1.0, "climax"),
        Plan("A", 0.5, 0.4, 0.05, "recall"),
    ]


FORMS: dict[str, Form] = {
    form.__name__: form for form in (arch, accumulation, ebb, passacaglia, two_panel, rondo, waves, drift, rupture)
}


def lay_out(rng: np.random.Generator, plans: list[Plan], bars: int) -> list[int]:
    """Bars of each section: in proportion to the weights, in groups of four where there is room, else of two.

    Args:
        rng: source of chance.
        plans: the sections.
        bars: wanted length of the piece.
    """
    total = sum(plan.weight for plan in plans)
    out = []
    for plan in plans:
        wanted = bars * plan.weight / total
        unit = 4 if wanted >= 6 else 2
        length = max(unit, round(wanted / unit) * unit)
        if length >= 8 and happens(rng, 0.12):
            length += pick(rng, (2, -2))  # not everything is square
        out.append(length)
    return out
