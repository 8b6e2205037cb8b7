"""Score <-> note tokens: one row of five small integers a note, and the conditions that stand beside each row.

A note is `(part, delta, pitch, duration, velocity)`. `delta` is the distance to the onset of the note before it, so
that a chord is a run of zeros. Deltas and durations fall into log-spaced bins, exact for short values and up to 32
beats for drones. Deltas are binned against the onsets already written, so that rounding never adds up to drift.

The model of a checkpoint is bound to these tables: `FINGERPRINT` changes when any of them does.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from data.keys import Mode
from data.moods import MOODS, Mood
from data.score import STEPS_PER_BAR, STEPS_PER_BEAT, Note, Part, Score

IntArray = npt.NDArray[np.int64]

# 12 steps to a beat. Sixteenths (3), triplets (4) and their sums up to a beat are exact; above, each bin is at most a
# third longer than the one before, up to 32 beats.
# fmt: off
DURATION_STEPS: tuple[int, ...] = (
    1, 2, 3, 4, 6, 8, 9, 12, 15, 16, 18, 20, 21, 24, 30, 32, 36, 42, 48, 60, 72, 84, 96,
    120, 144, 168, 192, 240, 288, 336, 384,
)
DELTA_STEPS: tuple[int, ...] = (0, *DURATION_STEPS)
# fmt: on
PITCH_LOW, PITCH_HIGH = 21, 108  # the piano's range; a note outside moves by octaves into it
VELOCITIES: tuple[int, ...] = tuple(range(4, 128, 8))  # centres of sixteen bins


class Attribute(NamedTuple):
    """One column of the token array."""

    name: str
    size: int


ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("part", len(Part)),
    Attribute("delta", len(DELTA_STEPS)),
    Attribute("pitch", PITCH_HIGH - PITCH_LOW + 1),
    Attribute("duration", len(DURATION_STEPS)),
    Attribute("velocity", len(VELOCITIES)),
)
PART, DELTA, PITCH, DURATION, VELOCITY = range(5)

# Upper edges of the bins of "notes still to come, this one included": exact near the end, where an ending is made.
_REMAINING_EDGES = (*range(1, 17), 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 128, 160, 192, 256, 384, 512, 768, 1024)
_TEMPO_EDGES_BPM = (60, 72, 84, 96, 112, 132, 160)
_POLYPHONY_MAX = 15

CONDITIONS: tuple[Attribute, ...] = (
    Attribute("mood", len(MOODS) + 1),  # the last index: not known
    Attribute("mode", 3),  # major, minor, not known
    Attribute("tempo", len(_TEMPO_EDGES_BPM) + 1),
    Attribute("remaining", len(_REMAINING_EDGES) + 1),
    Attribute("bar_position", STEPS_PER_BAR),  # of the previous onset
    Attribute("polyphony", _POLYPHONY_MAX + 1),  # notes sounding at the previous onset
)
MOOD, MODE, TEMPO, REMAINING, BAR_POSITION, POLYPHONY = range(6)

FINGERPRINT: str = hashlib.sha256(
    json.dumps(
        {
            "steps_per_beat": STEPS_PER_BEAT,
            "parts": [part.name for part in Part],
            "delta_steps": DELTA_STEPS,
            "duration_steps": DURATION_STEPS,
            "pitch": [PITCH_LOW, PITCH_HIGH],
            "velocities": VELOCITIES,
            "moods": MOODS,
            "remaining": _REMAINING_EDGES,
            "tempo_bpm": _TEMPO_EDGES_BPM,
            "conditions": [condition.name for condition in CONDITIONS],
        }
    ).encode()
).hexdigest()[:16]


def _nearest(table: tuple[int, ...], value: int) -> int:
    """Index of the entry closest to `value`; of two equally close, the smaller."""
    right = bisect_left(table, value)
    if right == 0:
        return 0
    if right == len(table):
        return right - 1
    return right if table[right] - value < value - table[right - 1] else right - 1


def _fold(pitch: int) -> int:
    while pitch < PITCH_LOW:
        pitch += 12
    while pitch > PITCH_HIGH:
        pitch -= 12
    return pitch


def encode(score: Score) -> IntArray:
    """Write a score as tokens.

    The silence before the first note is not kept. A pause over 32 beats becomes one of 32.

    Returns:
        [T, 5] int64, a row a note in score order, column i in [0, ATTRIBUTES[i].size).
    """
    tokens = np.empty((len(score.notes), len(ATTRIBUTES)), dtype=np.int64)
    if not score.notes:
        return tokens
    offset = score.notes[0].start_step  # added to a written onset, gives the score's own time
    onset = 0  # as decode will see it
    for row, note in enumerate(score.notes):
        wanted = max(0, note.start_step - offset - onset)
        delta = _nearest(DELTA_STEPS, wanted)
        onset += DELTA_STEPS[delta]
        if wanted > DELTA_STEPS[-1]:
            offset += wanted - DELTA_STEPS[-1]
        tokens[row] = (
            note.part,
            delta,
            _fold(note.pitch) - PITCH_LOW,
            _nearest(DURATION_STEPS, note.duration_steps),
            min(note.velocity // 8, len(VELOCITIES) - 1),
        )
    return tokens


def decode(tokens: IntArray, tempo_bpm: float) -> Score:
    """The score that tokens stand for; `decode(encode(s))` is `s` moved to the grid of the bins.

    Args:
        tokens: [T, 5] int64.
        tempo_bpm: quarter notes a minute.
    """
    notes: list[Note] = []
    onset = 0
    for part, delta, pitch, duration, velocity in tokens.tolist():
        onset += DELTA_STEPS[delta]
        notes.append(Note(onset, Part(part), pitch + PITCH_LOW, DURATION_STEPS[duration], VELOCITIES[velocity]))
    return Score(tuple(sorted(notes)), tempo_bpm)


def remaining_bin(notes_left: int) -> int:
    """Bin of "notes still to come, the next one included"; `notes_left` >= 1."""
    return bisect_left(_REMAINING_EDGES, notes_left)


def tempo_bin(tempo_bpm: float) -> int:
    """Bin of a tempo in quarter notes a minute."""
    return bisect_left(_TEMPO_EDGES_BPM, tempo_bpm)


def mood_index(mood: Mood | None) -> int:
    """Value of the mood condition; None is "not known"."""
    return len(MOODS) if mood is None else MOODS.index(mood)


def mode_index(mode: Mode | None) -> int:
    """Value of the mode condition; None is "not known"."""
    return 2 if mode is None else ("major", "minor").index(mode)


class Position:
    """Where a piece stands as it is written note by note: the moving half of the conditions.

    `bar_position` and `polyphony` describe the onset of the last note added; both are 0 before the first.
    """

    __slots__ = ("_ends", "bar_position", "onset", "polyphony")

    def __init__(self) -> None:
        self.onset = 0
        self.bar_position = 0
        self.polyphony = 0
        self._ends: list[int] = []  # heap of the end steps of sounding notes

    def add(self, delta: int, duration: int) -> None:
        """Take in one note, given as indices into DELTA_STEPS and DURATION_STEPS."""
        self.onset += DELTA_STEPS[delta]
        while self._ends and self._ends[0] <= self.onset:
            heapq.heappop(self._ends)
        heapq.heappush(self._ends, self.onset + DURATION_STEPS[duration])
        self.bar_position = self.onset % STEPS_PER_BAR
        self.polyphony = min(len(self._ends), _POLYPHONY_MAX)


def conditions(
    tokens: IntArray, *, mood: Mood | None, mode: Mode | None, tempo_bpm: float, controls: Sequence[int] = ()
) -> IntArray:
    """What the model is told before each note of a whole piece.

    Args:
        tokens: [T, 5] int64, a complete piece: its last row is the last note.
        mood: of the piece, or None when it is not known.
        mode: of the piece, or None when it is not known.
        tempo_bpm: quarter notes a minute.
        controls: of the whole piece (`data.controls`), for a model that is told them.

    Returns:
        [T, 6 + controls] int64, the conditions in the order of CONDITIONS first. Row t goes with the prediction of
        note t and looks only at notes before it.
    """
    length = len(tokens)
    rows = np.empty((length, len(CONDITIONS) + len(controls)), dtype=np.int64)
    rows[:, len(CONDITIONS) :] = controls
    rows[:, MOOD] = mood_index(mood)
    rows[:, MODE] = mode_index(mode)
    rows[:, TEMPO] = tempo_bin(tempo_bpm)
    position = Position()
    for t, (delta, duration) in enumerate(tokens[:, (DELTA, DURATION)].tolist()):
        rows[t, REMAINING] = remaining_bin(length - t)
        rows[t, BAR_POSITION] = position.bar_position
        rows[t, POLYPHONY] = position.polyphony
        position.add(delta, duration)
    return rows
