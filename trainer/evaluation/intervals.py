"""How sure a figure is: 95 % intervals.

Notes of one piece, and pieces of one person, are alike, so it is people that are drawn, not notes: the cluster
bootstrap (Efron & Tibshirani 1993, chapter 8; Koehn 2004 does so to compare two systems on the same test side).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from data.listener import Floats

_DRAWS = 2000


def mean_interval(totals: Floats, sizes: Floats, authors: Sequence[str]) -> tuple[float, float]:
    """The 95 % interval of a mean, such as nats per note, with people drawn with replacement.

    Args:
        totals: [N], of each piece.
        sizes: [N], what to divide by: the notes of each piece.
        authors: [N], whose pieces they are.
    """
    _, whose = np.unique(authors, return_inverse=True)
    total, size = np.bincount(whose, totals), np.bincount(whose, sizes)  # [A]
    drawn = np.random.default_rng(0).integers(len(total), size=(_DRAWS, len(total)))
    low, high = np.percentile(total[drawn].sum(1) / size[drawn].sum(1), (2.5, 97.5))
    return float(low), float(high)


def share_interval(share: float, of: int) -> tuple[float, float]:
    """The 95 % interval of a share of so many pieces (Wilson 1927)."""
    found = binomtest(round(share * of), of).proportion_ci(method="wilson")
    return float(found.low), float(found.high)
