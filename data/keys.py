"""Musical keys: how people write them, and how one is estimated from notes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.errors import InvalidKey
from data.score import Note, Score

Mode = Literal["major", "minor"]

TONIC_NAMES: tuple[str, ...] = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_KEY_TEXT = re.compile(r"([A-Ga-g])\s*(#|♯|b|♭|sharp|flat)?\s*(m|min|minor|maj|major|M)?")

# Krumhansl & Kessler 1982: how well each pitch class fits a key, rated by listeners; index 0 is the tonic.
_PROFILES: dict[Mode, np.ndarray] = {
    "major": np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88]),
    "minor": np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17]),
}
_KEYS = [(tonic, mode) for mode in _PROFILES for tonic in range(12)]
_KEY_PROFILES = np.array(
    [np.roll(_PROFILES[mode] - _PROFILES[mode].mean(), tonic) for tonic, mode in _KEYS]
)  # [24, 12]
_KEY_PROFILES /= np.linalg.norm(_KEY_PROFILES, axis=1, keepdims=True)


@dataclass(frozen=True, slots=True)
class Key:
    """A tonic (pitch class 0-11, 0 is C) and a mode. `str(key)` is its short name: `C`, `F#m`, `Bb`."""

    tonic: int
    mode: Mode

    def __str__(self) -> str:
        return TONIC_NAMES[self.tonic] + ("m" if self.mode == "minor" else "")

    @property
    def shift(self) -> int:
        """Semitones from C to the tonic by the shortest way, -6 to 5."""
        return (self.tonic + 6) % 12 - 6

    @classmethod
    def parse(cls, text: str) -> Key:
        """Read `Am`, `a minor`, `F#`, `Bb major`, `e flat min`, `C♯m`; a letter alone is major.

        Raises:
            InvalidKey: the text names no key.
        """
        match = _KEY_TEXT.fullmatch(text.strip())
        if match is None:
            match = _KEY_TEXT.fullmatch(text.strip().lower())
        if match is None:
            raise InvalidKey(
                f"'{text}' is not a key: write a letter A to G, # or b, and m for minor, as in Am, F# or Bbm."
            )
        letter, accidental, mode = match.groups()
        shift = {"#": 1, "♯": 1, "sharp": 1, "b": -1, "♭": -1, "flat": -1}.get(accidental or "", 0)
        minor = mode in {"m", "min", "minor"}
        return cls((_LETTERS[letter.upper()] + shift) % 12, "minor" if minor else "major")


def estimate_key(notes: Iterable[Note]) -> tuple[Key, float]:
    """The key whose profile correlates best with the duration-weighted pitch classes (Krumhansl 1990, chapter 4).

    Args:
        notes: of any parts; pulse notes are counted like others.

    Returns:
        the key, and the Pearson correlation in [-1, 1] (0.0 when there are no notes, with C major as the key).
    """
    weights = np.zeros(12)
    for note in notes:
        weights[note.pitch % 12] += note.duration_steps
    if not np.ptp(weights):
        return Key(0, "major"), 0.0
    deviations = weights - weights.mean()
    fits = _KEY_PROFILES @ (deviations / np.linalg.norm(deviations))  # [24] Pearson correlations
    best = int(np.argmax(fits))
    return Key(*_KEYS[best]), float(fits[best])


def transpose(score: Score, semitones: int) -> Score:
    """Move every pitch; a note that would leave 0-127 moves by an octave back into it. Timing is untouched."""
    moved = []
    for note in score.notes:
        pitch = note.pitch + semitones
        pitch = pitch + 12 if pitch < 0 else pitch - 12 if pitch > 127 else pitch
        moved.append(Note(note.start_step, note.part, pitch, note.duration_steps, note.velocity))
    return Score(tuple(sorted(moved)), score.tempo_bpm)
