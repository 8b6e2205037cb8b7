"""Are requested moods recognised in the music?

Two listeners answer. One is `data.mood_estimate`: cues and weights out of the literature, fitted to no music of ours.
The other is a softmax regression on the same countable attributes, fitted to the training side of the corpus: human
pieces, whose labels come from that literature or from a person, and the project's own, whose labels are what they were
written as; so never to the rules of the generator alone. Both are set against shuffled labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import mannwhitneyu, spearmanr

from data.attributes import attributes
from data.mood_estimate import estimate_mood
from data.moods import MOODS, PROFILES, Mood
from data.score import Score

Floats = npt.NDArray[np.float64]
_RIDGE = 1.0
_SHUFFLES = 2000
_BRIGHT, _GLOOMY = (Mood.HOPEFUL, Mood.ETHEREAL), (Mood.DARK, Mood.TENSE)
_EXCITED, _CALM = (Mood.TENSE, Mood.EPIC), (Mood.AMBIENT, Mood.ETHEREAL)


def features(score: Score) -> Floats:
    """Attributes of a score on scales on which they add up, [13] float64."""
    found = attributes(score)
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

        start = np.zeros(inputs.shape[1] * len(MOODS))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 500})
        return cls(mean, deviation, found.x.reshape(-1, len(MOODS)))

    def hear(self, rows: Floats) -> list[Mood]:
        """The likeliest mood of each row of features [N, F]."""
        inputs = np.column_stack([(rows - self.mean) / self.deviation, np.ones(len(rows))])
        return [MOODS[index] for index in (inputs @ self.weights).argmax(1)]


def recognition(asked: Sequence[Mood], heard: Sequence[Mood], rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy, confusion matrix (rows asked, columns heard) and what shuffled labels give."""
    wanted, found = (np.array([MOODS.index(mood) for mood in moods]) for moods in (asked, heard))
    confusion = np.zeros((len(MOODS), len(MOODS)), dtype=int)
    np.add.at(confusion, (wanted, found), 1)
    chance = [float((rng.permutation(wanted) == found).mean()) for _ in range(_SHUFFLES)]
    return {
        "accuracy": float((wanted == found).mean()),
        "shuffled_mean": float(np.mean(chance)),
        "shuffled_p99": float(np.quantile(chance, 0.99)),
        "confusion": confusion.tolist(),
    }


def affect(asked: Sequence[Mood], scores: Sequence[Score]) -> dict[str, Any]:
    """Do valence and arousal, estimated from the literature, move the right way between moods?

    Returns:
        per mood the mean estimates; Spearman's rank correlation of those means with the profiles; and the probability
        that a piece of the bright (excited) moods is estimated higher than one of the gloomy (calm), 0.5 being chance.
    """
    found = [estimate_mood(score) for score in scores]
    axes = {"valence": (_BRIGHT, _GLOOMY), "arousal": (_EXCITED, _CALM)}
    result: dict[str, Any] = {}
    for axis, (high, low) in axes.items():
        values = np.array([getattr(estimate, axis) for estimate in found])
        of = {mood: values[[wish == mood for wish in asked]] for mood in MOODS}
        means = {mood.value: float(of[mood].mean()) for mood in MOODS if len(of[mood])}
        profiles = [getattr(PROFILES[Mood(name)], axis) for name in means]
        above = np.concatenate([of[mood] for mood in high])
        below = np.concatenate([of[mood] for mood in low])
        result[axis] = {
            "means": means,
            "rank_correlation": float(spearmanr(profiles, list(means.values())).statistic),
            "high_moods": [mood.value for mood in high],
            "low_moods": [mood.value for mood in low],
            "probability_high_above_low": float(mannwhitneyu(above, below).statistic / (len(above) * len(below))),
        }
    return result


def hear_by_literature(scores: Sequence[Score]) -> list[Mood]:
    """The mood of each score by `data.mood_estimate`."""
    return [estimate_mood(score).mood for score in scores]
