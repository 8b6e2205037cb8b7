"""Modes and scales: the pitch material of a piece."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode by its semitones above the tonic, ascending from 0."""

    name: str
    intervals: tuple[int, ...]
    colour: tuple[int, ...]  # the tones that tell this mode from its neighbours, semitones above the tonic

    @property
    def is_minor(self) -> bool:
        """Whether the third above the tonic is minor, or absent with a minor second or sixth in its place."""
        return 4 not in self.intervals and (3 in self.intervals or 1 in self.intervals)


MODES: dict[str, Mode] = {
    mode.name: mode
    for mode in (
        Mode("ionian", (0, 2, 4, 5, 7, 9, 11), (4, 11)),
        Mode("lydian", (0, 2, 4, 6, 7, 9, 11), (6,)),
        Mode("mixolydian", (0, 2, 4, 5, 7, 9, 10), (10,)),
        Mode("dorian", (0, 2, 3, 5, 7, 9, 10), (9,)),
        Mode("aeolian", (0, 2, 3, 5, 7, 8, 10), (8,)),
        Mode("phrygian", (0, 1, 3, 5, 7, 8, 10), (1,)),
        Mode("locrian", (0, 1, 3, 5, 6, 8, 10), (1, 6)),
        Mode("harmonic minor", (0, 2, 3, 5, 7, 8, 11), (8, 11)),
        Mode("melodic minor", (0, 2, 3, 5, 7, 9, 11), (9, 11)),
        Mode("phrygian dominant", (0, 1, 4, 5, 7, 8, 10), (1, 4)),
        Mode("double harmonic", (0, 1, 4, 5, 7, 8, 11), (1, 11)),
        Mode("hungarian minor", (0, 2, 3, 6, 7, 8, 11), (6, 11)),
        Mode("lydian dominant", (0, 2, 4, 6, 7, 9, 10), (6, 10)),
        Mode("octatonic", (0, 1, 3, 4, 6, 7, 9, 10), (1, 6)),
        Mode("octatonic whole-half", (0, 2, 3, 5, 6, 8, 9, 11), (6, 11)),
        Mode("whole-tone", (0, 2, 4, 6, 8, 10), (6, 8)),
        Mode("hexatonic", (0, 3, 4, 7, 8, 11), (8, 11)),
        Mode("major pentatonic", (0, 2, 4, 7, 9), (2, 9)),
        Mode("minor pentatonic", (0, 3, 5, 7, 10), (10,)),
        Mode("hirajoshi", (0, 2, 3, 7, 8), (8,)),
        Mode("in-sen", (0, 1, 5, 7, 10), (1,)),
    )
}


@dataclass(frozen=True, slots=True)
class Scale:
    """A mode on a tonic (pitch class 0-11)."""

    tonic: int
    mode: Mode

    @property
    def pitch_classes(self) -> tuple[int, ...]:
        """The scale's pitch classes, ascending from the tonic (so not sorted as numbers)."""
        return tuple((self.tonic + interval) % 12 for interval in self.mode.intervals)

    def pitch(self, degree: int) -> int:
        """MIDI pitch of a scale degree; degree 0 is the tonic in MIDI octave 0 (pitches 0-11), negatives go below."""
        octave, step = divmod(degree, len(self.mode.intervals))
        return self.tonic + 12 * octave + self.mode.intervals[step]

    def degree(self, pitch: int) -> int:
        """The degree whose pitch is nearest; of two equally near ones the lower."""
        octave, above = divmod(pitch - self.tonic, 12)
        size = len(self.mode.intervals)
        distances = [abs(above - interval) for interval in (*self.mode.intervals, 12)]
        return octave * size + distances.index(min(distances))


@cache
def nearest(pitch: int, pitch_classes: tuple[int, ...], toward: int = 0) -> int:
    """The pitch nearest to `pitch` whose class is in `pitch_classes`.

    Args:
        pitch: MIDI pitch, any integer.
        pitch_classes: at least one class 0-11.
        toward: of two equally near pitches, 1 takes the upper one; 0 and -1 take the lower.
    """
    for distance in range(7):
        below, above = pitch - distance, pitch + distance
        order = (above, below) if toward > 0 else (below, above)
        for candidate in order:
            if candidate % 12 in pitch_classes:
                return candidate
    raise ValueError("a pitch needs at least one pitch class to go to")


def fit_octave(pitch: int, low: int, high: int) -> int:
    """Move a pitch by octaves into [low, high] (at least an octave wide), staying as near as possible."""
    while pitch < low:
        pitch += 12
    while pitch > high:
        pitch -= 12
    return pitch


def adapted(scale: tuple[int, ...], chord: tuple[int, ...]) -> tuple[int, ...]:
    """The scale over a chromatic chord: foreign chord tones replace the scale tones a semitone away from them.

    Args:
        scale: pitch classes.
        chord: pitch classes; those inside the scale change nothing.

    Returns:
        sorted pitch classes that contain the chord.
    """
    foreign = [tone for tone in chord if tone not in scale]
    kept = {tone for tone in scale if tone in chord or not any((tone - other) % 12 in {1, 11} for other in foreign)}
    return tuple(sorted(kept | set(chord)))
