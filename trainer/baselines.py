"""What a model has to beat: the same tokens under a unigram and a 5-gram, in nats per note.

Both predict the five attributes of a note one after the other, as the model does. A context is a list of facts, the
most telling first; each further fact refines the estimate by interpolation (Witten & Bell 1991, method C, with a
heavier weight on the shorter context), so that a context never seen falls back smoothly to one that was.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data.tokens import ATTRIBUTES, PART, IntArray

Context = tuple[int, ...]

# How much the shorter context counts, in units of Witten and Bell's own weight (1). Chosen in the baseline's favour on
# validation pieces, by composers that training has not seen: 7.87 nats a note at 1, 6.81 at 6, 6.56 at 24, 6.58 at 48.
_SHORTER_WEIGHT = 24.0
# And how much all that counts where the notes of the piece itself are counted too: 4.32 at 1, 3.93 at 4, 3.98 at 8.
_HEARD_WEIGHT = 4.0


class NGram:
    """An interpolated n-gram over note tokens.

    Args:
        order: 1 counts attributes alone; n > 1 adds the part of the same note, then the same attribute of each of the
            n - 1 notes before.
    """

    def __init__(self, order: int) -> None:
        self.order = order
        self._counts: list[dict[Context, Counter[int]]] = [defaultdict(Counter) for _ in ATTRIBUTES]

    def _contexts(self, rows: list[list[int]], t: int, attribute: int) -> list[Context]:
        if self.order == 1:
            return [()]
        facts = [rows[t][PART]] if attribute != PART else []
        facts += [rows[t - k][attribute] if t >= k else -1 for k in range(1, self.order)]
        return [tuple(facts[:n]) for n in range(len(facts) + 1)]

    def fit(self, pieces: Sequence[IntArray]) -> NGram:
        """Count every note of every piece ([T, 5] int64 each)."""
        for tokens in pieces:
            rows = tokens.tolist()
            for t in range(len(rows)):
                self._count(rows, t)
        return self

    def distribution(self, rows: list[list[int]], t: int, attribute: int) -> npt.NDArray[np.float64]:
        """Probabilities of every value of one attribute of note t, [V] float64.

        Args:
            rows: the notes before t, and of note t the attributes before this one; the rest is not looked at.
            t: index of the note.
            attribute: index into ATTRIBUTES.
        """
        size = ATTRIBUTES[attribute].size
        probabilities = np.full(size, 1.0 / size)
        for context in self._contexts(rows, t, attribute):
            seen = self._counts[attribute].get(context)
            if seen is None:
                break
            probabilities *= _SHORTER_WEIGHT * len(seen)
            probabilities[list(seen)] += list(seen.values())
            probabilities /= probabilities.sum()
        return probabilities

    def nats_per_note(self, pieces: Sequence[IntArray], *, listening: bool = False) -> float:
        """Mean negative log-likelihood of a note.

        Args:
            pieces: [T, 5] int64 each.
            listening: of each piece, count what was heard so far as well, as the short-term model of Conklin & Witten
                1995 does: what a cache is to the LSTM.
        """
        total, notes = 0.0, 0
        for tokens in pieces:
            rows = tokens.tolist()
            notes += len(rows)
            heard = NGram(self.order)
            for t, row in enumerate(rows):
                for attribute, (_, size) in enumerate(ATTRIBUTES):
                    probability = self._refined(1.0 / size, rows, t, attribute, row[attribute])
                    if listening:
                        probability = heard._refined(probability, rows, t, attribute, row[attribute], _HEARD_WEIGHT)
                    total -= math.log(probability)
                if listening:
                    heard._count(rows, t)
        return total / max(notes, 1)

    def _refined(
        self,
        probability: float,
        rows: list[list[int]],
        t: int,
        attribute: int,
        value: int,
        weight: float = _SHORTER_WEIGHT,
    ) -> float:
        """The probability of a value, as it was known before, with what was counted."""
        for context in self._contexts(rows, t, attribute):
            seen = self._counts[attribute].get(context)
            if seen is None:
                break
            shorter = weight * len(seen)
            probability = (seen[value] + shorter * probability) / (seen.total() + shorter)
        return probability

    def _count(self, rows: list[list[int]], t: int) -> None:
        for attribute, counts in enumerate(self._counts):
            for context in self._contexts(rows, t, attribute):
                counts[context][rows[t][attribute]] += 1
