"""A listener that learns moods: a softmax regression on what can be counted in a score.

`data.mood_estimate` knows what the literature says of moods in general; a listener knows what the pieces of a corpus
that were written for a mood have in common.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax, softmax

from data.attributes import Attributes, attributes
from data.corpus import Piece
from data.moods import MOODS, Mood
from data.repetition import EXCERPT_NOTES, excerpts
from data.score import Score

Floats = npt.NDArray[np.float64]
_RIDGE = 1.0
_EXCERPTS = 2  # of each piece


def features(score: Score) -> Floats:
    """Attributes of a score on scales on which they add up, [13] float64."""
    return features_of(attributes(score))


def features_of(found: Attributes) -> Floats:
    """The same from attributes that were counted before."""
    return np.array(
        [
            math.log2(found.tempo_bpm),
            math.log2(found.notes_per_second),
            found.velocity_mean / 10,
            found.velocity_sd / 10,
            found.pitch_mean / 6,
            found.pitch_sd / 6,
            found.low_share,
            math.log2(found.duration_s),
            math.log2(max(found.polyphony, 1e-3)),
            found.dissonance * 10,
            found.pitch_class_entropy_bits,
            found.majorness,
            found.key_fit * 10,
        ]
    )


def labelled(
    pieces: Iterable[Piece], length_notes: int = EXCERPT_NOTES, hears: Callable[[Score], Floats] = features
) -> tuple[Floats, list[Mood]]:
    """What a listener learns from, or is tried on.

    Args:
        pieces: with their moods.
        length_notes: of the excerpts; a shorter piece is taken whole.
        hears: what of an excerpt it hears, [F] float64.

    Returns:
        features of up to two excerpts of each piece, [N, F] float64, and their moods.
    """
    pairs = [
        (hears(excerpt), piece.mood)
        for piece in pieces
        for excerpt in excerpts(piece.score, min(length_notes, len(piece.score.notes)), _EXCERPTS)
    ]
    return np.array([row for row, _ in pairs]), [mood for _, mood in pairs]


@dataclass(frozen=True, slots=True)
class Listener:
    """A softmax regression over moods. Every mood weighs the same, however many pieces it has."""

    mean: Floats  # [F]
    deviation: Floats  # [F]
    weights: Floats  # [F + 1, 8]

    @classmethod
    def fit(cls, rows: Floats, moods: Sequence[Mood]) -> Listener:
        """Fit to features [N, F] and their moods, with a ridge penalty."""
        mean, deviation = rows.mean(0), rows.std(0) + 1e-9
        inputs = np.column_stack([(rows - mean) / deviation, np.ones(len(rows))])  # [N, F + 1]
        labels = np.array([MOODS.index(mood) for mood in moods])
        counts = np.bincount(labels, minlength=len(MOODS))
        share = 1.0 / counts[labels]
        share *= len(labels) / share.sum()

        def loss(flat: Floats) -> tuple[float, Floats]:
            weights = flat.reshape(-1, len(MOODS))
            scores = inputs @ weights  # [N, 8]
            nats = -(share * log_softmax(scores, axis=1)[np.arange(len(labels)), labels]).sum()
            errors = softmax(scores, axis=1)
            errors[np.arange(len(labels)), labels] -= 1
            gradient = inputs.T @ (share[:, None] * errors)
            penalty = weights.copy()
            penalty[-1] = 0  # the intercept is free
            return float(nats + _RIDGE / 2 * (penalty**2).sum()), (gradient + _RIDGE * penalty).ravel()

        from scipy.optimize import minimize  # noqa: PLC0415 -- a fifth of a second, and who only listens does without

        start = np.zeros(inputs.shape[1] * len(MOODS))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
        return cls(mean, deviation, found.x.reshape(-1, len(MOODS)))

    def log_shares(self, rows: Floats) -> Floats:
        """[N, 8]: the log-probability of each mood, in the order of MOODS, for features [N, F]."""
        inputs = np.column_stack([(rows - self.mean) / self.deviation, np.ones(len(rows))])
        shares: Floats = log_softmax(inputs @ self.weights, axis=1)
        return shares

    def hear(self, rows: Floats) -> list[Mood]:
        """The likeliest mood of each row of features [N, F]."""
        return [MOODS[index] for index in self.log_shares(rows).argmax(1)]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, rounded to six digits; `from_dict` reads them."""
        return {
            "mean": self.mean.round(6).tolist(),
            "deviation": self.deviation.round(6).tolist(),
            "weights": [" ".join(f"{value:.6g}" for value in row) for row in self.weights],
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Listener:
        """What `as_dict` gave.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        weights = np.array([[float(value) for value in row.split()] for row in values["weights"]])
        mean, deviation = np.array(values["mean"], float), np.array(values["deviation"], float)
        if weights.shape != (len(mean) + 1, len(MOODS)) or mean.shape != deviation.shape:
            raise ValueError(f"a listener of {weights.shape} weights for {mean.shape} features")
        return cls(mean, deviation, weights)
