"""Are requested moods recognised in the music?

Three listeners answer. `data.mood_estimate` has its cues and weights out of the literature and is fitted to no music of
ours. Two are softmax regressions fitted to the training side of the corpus: human pieces, whose labels come from that
literature or from a person, and the project's own, whose labels are what they were written as; so never to the rules of
the generator alone. One of them hears countable attributes (`data.listener`) and, as the literature does, has a say in
which take the engine serves; the other hears nothing but histograms of notes and has none. All are set against shuffled
labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import mannwhitneyu, spearmanr

from data.keys import estimate_key
from data.listener import Floats
from data.mood_estimate import estimate_mood
from data.moods import MOODS, PROFILES, Mood
from data.score import Score
from data.tokens import ATTRIBUTES, PITCH, encode, tempo_bin
from trainer.evaluation.intervals import share_interval

_SHUFFLES = 2000
_BRIGHT, _GLOOMY = (Mood.HOPEFUL, Mood.ETHEREAL), (Mood.DARK, Mood.TENSE)
_EXCITED, _CALM = (Mood.TENSE, Mood.EPIC), (Mood.AMBIENT, Mood.ETHEREAL)
_TEMPI = 8


def histograms(score: Score) -> Floats:
    """How often each part, delta, duration, velocity, octave and scale degree occurs, [115] float64.

    Square roots of shares, so that a straight line between two measures Hellinger's distance.
    """
    tokens = encode(score)  # [T, 5]
    tonic = estimate_key(score.notes)[0].tonic
    counts: list[npt.NDArray[np.int64]] = [
        np.bincount(column, minlength=attribute.size)
        for index, attribute in enumerate(ATTRIBUTES)
        if index != PITCH
        for column in (tokens[:, index],)
    ]
    pitches = np.array([note.pitch for note in score.notes])
    counts += [np.bincount(pitches // 12, minlength=11), np.bincount((pitches - tonic) % 12, minlength=12)]
    tempo = np.eye(_TEMPI)[tempo_bin(score.tempo_bpm)]
    return np.concatenate([*(np.sqrt(each / each.sum()) for each in counts), tempo])


def recognition(asked: Sequence[Mood], heard: Sequence[Mood], rng: np.random.Generator) -> dict[str, Any]:
    """Accuracy and its 95 % interval, confusion matrix (rows asked, columns heard) and what shuffled labels give."""
    wanted, found = (np.array([MOODS.index(mood) for mood in moods]) for moods in (asked, heard))
    confusion = np.zeros((len(MOODS), len(MOODS)), dtype=int)
    np.add.at(confusion, (wanted, found), 1)
    chance = [float((rng.permutation(wanted) == found).mean()) for _ in range(_SHUFFLES)]
    accuracy = float((wanted == found).mean())
    return {
        "accuracy": accuracy,
        "interval": share_interval(accuracy, len(wanted)),
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
