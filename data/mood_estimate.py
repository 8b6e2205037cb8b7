"""The mood of a score, estimated from what can be counted in it.

    attributes -> cues (standardised) -> valence and arousal -> a log-score for each mood -> the best and its share

Which way a cue points is taken from the literature: fast tempo, many events, loudness and short notes raise arousal; a
clear major mode, a high register and consonance raise valence, and minor, low and dissonant lower it (Gabrielsson &
Lindström 2010; Juslin & Laukka 2004; Hunter & Schellenberg 2010). That cues simply add up, and their order
of importance - mode, tempo, register, dynamics, articulation - follow Eerola, Friberg & Bresin 2013 (Frontiers in
Psychology 4:487). The sizes within that order are ours, as are the cues that tell apart moods which lie close
together in valence and arousal.

The standardising constants are means and standard deviations over two kinds of music, of equal weight: the 478 files
that `data/SOURCES.md` credits and 240 pieces of `data.composer`, so that neither slow ambient nor dense game music lies
beyond the scale. The 478 files come to dark 46, ambient 14, tense 106, mysterious 39, melancholic 84, ethereal 30,
hopeful 81 and epic 78; of the 240 pieces, whose moods are known, 58 % are recognised (chance: 12.5 %).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from data.attributes import Attributes, attributes
from data.moods import MOODS, PROFILES, Mood
from data.score import Score

_CUE_LIMIT = 2.5  # standard deviations; one odd cue must not decide alone

# Cue: mean and standard deviation.
_NORMS: dict[str, tuple[float, float]] = {
    "tempo": (6.372, 0.505),  # log2 of beats a minute
    "rate": (2.112, 1.178),  # log2 of notes a second
    "loudness": (78.0, 17.7),  # MIDI velocity
    "register": (61.94, 6.86),  # MIDI note number
    "low": (0.149, 0.148),  # share of notes below C3
    "length": (0.113, 1.530),  # log2 of a note's seconds
    "density": (2.241, 0.779),  # log2 of notes that sound together
    "dissonance": (0.313, 0.075),
    "chromaticism": (2.932, 0.294),  # bits of pitch-class entropy
    "major": (0.0, 0.815),  # key fit, negative in minor; about zero, since a mode is a side and not a degree
    "tonality": (0.807, 0.113),  # key fit
}

_VALENCE: dict[str, float] = {"major": 0.8, "dissonance": -0.25, "register": 0.2, "low": -0.2, "tempo": 0.1}
_AROUSAL: dict[str, float] = {
    "tempo": 0.3, "rate": 0.3, "loudness": 0.25, "length": -0.25, "density": 0.1, "dissonance": 0.1,
}  # fmt: skip
# The eight profiles have standard deviations of 0.55 and 0.50 in valence and arousal; so, then, have the estimates.
_VALENCE_SCALE = 0.55 / 0.94  # 0.94: standard deviation of the weighted sum over both kinds of music
_AROUSAL_SCALE = 0.50 / 0.91
_SPREAD = 0.45  # how far from its profile a mood reaches, about half the distance between neighbours

_MOOD_CUES: dict[Mood, dict[str, float]] = {
    Mood.DARK: {"register": -0.6, "low": 0.3, "loudness": -0.3, "rate": -0.2},
    Mood.AMBIENT: {"rate": -0.4, "length": 0.3, "dissonance": -0.3, "chromaticism": -0.3},
    Mood.TENSE: {"dissonance": 0.7, "tonality": -0.3, "chromaticism": 0.1},
    Mood.MYSTERIOUS: {"tonality": -0.5, "dissonance": 0.3, "loudness": -0.2, "register": 0.2},
    Mood.MELANCHOLIC: {"tonality": 0.3, "dissonance": -0.2, "density": -0.1},
    Mood.ETHEREAL: {"register": 0.7, "low": -0.3, "loudness": -0.2},
    Mood.HOPEFUL: {"tonality": 0.3, "dissonance": -0.3},
    Mood.EPIC: {"loudness": 0.6, "density": 0.4, "low": 0.1, "tonality": 0.1},
}
# Set so that each mood is met in the human files, and none takes a quarter of them.
_PRIOR: dict[Mood, float] = {
    Mood.DARK: 0.1, Mood.AMBIENT: 0.4, Mood.TENSE: -0.2, Mood.MELANCHOLIC: 0.3, Mood.HOPEFUL: 0.2, Mood.EPIC: 0.3,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MoodEstimate:
    """The likeliest mood.

    Attributes:
        mood: the best of the eight.
        confidence: its share of the softmax over all eight, 1/8 to 1.
        valence: -1 unpleasant to 1 pleasant.
        arousal: -1 calm to 1 excited.
    """

    mood: Mood
    confidence: float
    valence: float
    arousal: float


def estimate_mood(score: Score) -> MoodEstimate:
    """Estimate the mood of a score with at least one note.

    Raises:
        ValueError: the score has no notes.
    """
    if not score.notes:
        raise ValueError("a score without notes has no mood")
    return mood_from_attributes(attributes(score))


def mood_from_attributes(found: Attributes) -> MoodEstimate:
    """Estimate the mood from attributes that were counted already."""
    cues = _standardised(found)
    valence, arousal = _affect(cues)
    log_shares = _log_shares(cues, valence, arousal)
    best = max(log_shares, key=log_shares.__getitem__)
    return MoodEstimate(best, math.exp(log_shares[best]), valence, arousal)


def mood_log_shares(found: Attributes) -> dict[Mood, float]:
    """The logarithm of each mood's share of the softmax, of which `estimate_mood` tells the best alone; nats, <= 0."""
    cues = _standardised(found)
    return _log_shares(cues, *_affect(cues))


def _affect(cues: dict[str, float]) -> tuple[float, float]:
    """Valence and arousal."""
    return _bounded(_VALENCE_SCALE * _weighted(_VALENCE, cues)), _bounded(_AROUSAL_SCALE * _weighted(_AROUSAL, cues))


def _log_shares(cues: dict[str, float], valence: float, arousal: float) -> dict[Mood, float]:
    logits = {
        mood: _PRIOR.get(mood, 0.0)
        + _weighted(_MOOD_CUES[mood], cues)
        - ((valence - PROFILES[mood].valence) ** 2 + (arousal - PROFILES[mood].arousal) ** 2) / (2 * _SPREAD**2)
        for mood in MOODS
    }
    highest = max(logits.values())
    total = highest + math.log(sum(math.exp(logit - highest) for logit in logits.values()))
    return {mood: logit - total for mood, logit in logits.items()}


def _standardised(found: Attributes) -> dict[str, float]:
    """Cues in standard deviations from the corpus mean, within _CUE_LIMIT."""
    raw = {
        "tempo": math.log2(found.tempo_bpm),
        "rate": math.log2(found.notes_per_second),
        "loudness": found.velocity_mean,
        "register": found.pitch_mean,
        "low": found.low_share,
        "length": math.log2(found.duration_s),
        "density": math.log2(found.polyphony),
        "dissonance": found.dissonance,
        "chromaticism": found.pitch_class_entropy_bits,
        "major": found.majorness,
        "tonality": found.key_fit,
    }
    return {
        name: max(-_CUE_LIMIT, min(_CUE_LIMIT, (raw[name] - mean) / deviation))
        for name, (mean, deviation) in _NORMS.items()
    }


def _weighted(weights: dict[str, float], cues: dict[str, float]) -> float:
    return sum(weight * cues[name] for name, weight in weights.items())


def _bounded(value: float) -> float:
    """Into -1 to 1: about the same in the middle, ever less towards the ends."""
    return math.tanh(value)
