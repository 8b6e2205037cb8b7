"""Small draws from a numpy Generator: every random decision of the composer goes through one of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def happens(rng: np.random.Generator, probability: float) -> bool:
    """True with the given probability in [0, 1]."""
    return bool(rng.random() < probability)


def between(rng: np.random.Generator, low: float, high: float) -> float:
    """A number drawn evenly from [low, high)."""
    return low + (high - low) * float(rng.random())


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """A whole number drawn evenly from low to high, both included."""
    return low + int(rng.random() * (high - low + 1))


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """One of the items, each as likely as the others."""
    return items[int(rng.random() * len(items))]


def weighed(rng: np.random.Generator, weights: Mapping[T, float]) -> T:
    """One of the keys, in proportion to its weight (not all zero)."""
    items = list(weights)
    point = float(rng.random()) * sum(weights.values())
    for item in items:
        point -= weights[item]
        if point < 0:
            return item
    return items[-1]


def shuffled(rng: np.random.Generator, items: Sequence[T]) -> list[T]:
    """The items in random order (Fisher-Yates)."""
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order
