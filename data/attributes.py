"""Musical attributes of a score: plain numbers that the mood estimate, the report and the evaluation share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.keys import Key, estimate_key
from data.score import STEPS_PER_BEAT, Score

C3 = 48  # MIDI note number below which close intervals sound muddy and a register counts as low

# Huron 1994, "Interval-class content in equally tempered pitch-class sets" (Music Perception 11): how consonant
# listeners in three studies found the interval classes 1 (minor second, major seventh) to 6 (tritone).
_CONSONANCE = np.array([-1.428, -0.582, 0.594, 0.386, 1.240, -0.453])


@dataclass(frozen=True, slots=True)
class Attributes:
    """What can be counted in a score. Everything but the tempo is 0.0 for a score without notes.

    Attributes:
        tempo_bpm: quarter notes a minute.
        notes_per_second: notes over the duration.
        notes_per_beat: the same in beats.
        pitch_mean: mean MIDI note number.
        pitch_sd: its standard deviation, semitones.
        low_share: share of notes below C3, 0-1.
        velocity_mean: 1-127.
        velocity_sd: its standard deviation.
        duration_s: mean length of a note in seconds.
        polyphony: mean number of notes that sound, over the time in which any does.
        dissonance: 0 (only fifths and fourths sound together) to 1 (only semitones), averaged over time and over the
            pairs of pitch classes; 0.0 when never two sound together.
        pitch_class_entropy_bits: 0-3.585, of the pitch classes weighted by duration.
        key: the best-fitting key.
        key_fit: its correlation, -1 to 1.
    """

    tempo_bpm: float
    notes_per_second: float
    notes_per_beat: float
    pitch_mean: float
    pitch_sd: float
    low_share: float
    velocity_mean: float
    velocity_sd: float
    duration_s: float
    polyphony: float
    dissonance: float
    pitch_class_entropy_bits: float
    key: Key
    key_fit: float

    @property
    def majorness(self) -> float:
        """`key_fit` in major, `-key_fit` in minor: how clearly the piece is major (1) or minor (-1)."""
        return self.key_fit if self.key.mode == "major" else -self.key_fit


def attributes(score: Score) -> Attributes:
    """Count a score's attributes, in time proportional to its notes."""
    if not score.notes:
        nothing = (0.0,) * 11
        return Attributes(score.tempo_bpm, *nothing, key=Key(0, "major"), key_fit=0.0)
    # rows: [N, 4] int64
    rows = np.array([(n.start_step, n.end_step, n.pitch, n.velocity) for n in score.notes], dtype=np.int64)
    start, end, pitch, velocity = rows.T
    duration = end - start
    span_steps = int(end.max())
    polyphony, dissonance = _vertical(start, end, pitch)
    key, key_fit = estimate_key(score.notes)
    return Attributes(
        tempo_bpm=score.tempo_bpm,
        notes_per_second=len(rows) / score.seconds(span_steps),
        notes_per_beat=len(rows) * STEPS_PER_BEAT / span_steps,
        pitch_mean=float(pitch.mean()),
        pitch_sd=float(pitch.std()),
        low_share=float((pitch < C3).mean()),
        velocity_mean=float(velocity.mean()),
        velocity_sd=float(velocity.std()),
        duration_s=score.seconds(1) * float(duration.mean()),
        polyphony=polyphony,
        dissonance=dissonance,
        pitch_class_entropy_bits=_entropy_bits(
            np.bincount(pitch % 12, weights=duration.astype(np.float64), minlength=12)
        ),
        key=key,
        key_fit=key_fit,
    )


def _vertical(
    start: npt.NDArray[np.int64], end: npt.NDArray[np.int64], pitch: npt.NDArray[np.int64]
) -> tuple[float, float]:
    """What sounds together: (mean polyphony, dissonance). All arguments [N]."""
    edges = np.unique(np.concatenate([start, end]))  # [S + 1]: between two neighbours nothing changes
    lengths = np.diff(edges)  # [S] steps
    changes = np.zeros((12, len(edges)), dtype=np.int64)
    np.add.at(changes, (pitch % 12, np.searchsorted(edges, start)), 1)
    np.add.at(changes, (pitch % 12, np.searchsorted(edges, end)), -1)
    sounding = np.cumsum(changes, axis=1)[:, :-1]  # [12, S] notes of each pitch class
    voices = sounding.sum(axis=0)
    polyphony = float((voices * lengths).sum() / lengths[voices > 0].sum())
    present = sounding > 0
    pairs = np.array([(present & np.roll(present, -step, axis=0)).sum(axis=0) for step in range(1, 7)], dtype=float)
    pairs[5] /= 2  # a tritone is found from both of its ends
    pair_steps = pairs @ lengths  # [6] step-weighted count of each interval class
    total = pair_steps.sum()
    if not total:
        return polyphony, 0.0
    consonance = float(pair_steps @ _CONSONANCE / total)
    return polyphony, float((_CONSONANCE.max() - consonance) / np.ptp(_CONSONANCE))


def _entropy_bits(weights: npt.NDArray[Any]) -> float:
    shares = weights[weights > 0] / weights.sum()
    return float(max(0.0, -(shares * np.log2(shares)).sum()))
