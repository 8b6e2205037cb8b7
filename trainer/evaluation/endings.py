"""Whether a piece ends, rather than stops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.score import STEPS_PER_BEAT, Score

_LONG_BEATS = 2
_LONG_TIMES_MEDIAN = 2
_FADE_NOTES = 8
_FADE_VELOCITY = 8  # one bin of the tokens, one dynamic degree (p to pp) is about two
_SLOWING = 1.5


@dataclass(frozen=True, slots=True)
class Ending:
    """How a piece ends.

    Attributes:
        long: after the last onset something sounds on for two beats or more, and for twice the time that usually passes
            between onsets.
        fading: the last eight notes are softer than the piece by a bin of velocity, or come at least half as slowly
            again.
        tonic: the lowest note of the final sonority is the first or fifth degree of the key.
    """

    long: bool
    fading: bool
    tonic: bool

    @property
    def ends(self) -> bool:
        """A long or fading final sonority."""
        return self.long or self.fading


def ending(score: Score, tonic: int) -> Ending:
    """Look at the end of a piece of at least one note.

    Args:
        score: the piece.
        tonic: pitch class of its key, 0-11.
    """
    onsets = np.unique([note.start_step for note in score.notes])
    gaps = np.diff(onsets)
    usual_steps = float(np.median(gaps)) if len(gaps) else 0.0
    rest_steps = score.end_step - int(onsets[-1])
    velocities = np.array([note.velocity for note in score.notes])
    softer = velocities.mean() - velocities[-_FADE_NOTES:].mean() >= _FADE_VELOCITY
    last_gaps = np.diff(np.unique([note.start_step for note in score.notes[-_FADE_NOTES:]]))
    slower = len(last_gaps) > 1 and float(last_gaps.mean()) >= _SLOWING * max(float(gaps.mean()), 1.0)
    final = min(note.pitch for note in score.notes if note.end_step > onsets[-1])
    return Ending(
        long=rest_steps >= _LONG_BEATS * STEPS_PER_BEAT and rest_steps >= _LONG_TIMES_MEDIAN * usual_steps,
        fading=bool(softer or slower),
        tonic=(final - tonic) % 12 in {0, 7},
    )
