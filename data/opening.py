"""The opening of a piece: notes that are given, and that the model goes on from.

An opening is kept in the model's key of C and in steps, so that it follows the key and the tempo of whatever piece it
opens. Its text has four characters a note and goes wherever text goes: into a database, into the recipe in a file.
"""

from __future__ import annotations

import base64
import dataclasses
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np

from data.keys import Key, transpose
from data.score import STEPS_PER_BAR, Note, Part, Score
from data.tokens import ATTRIBUTES, DELTA, DURATION_STEPS, PART, PITCH, IntArray, decode, encode

NOTES_MAX = 10_000  # more than any piece has; bounds what is read out of a stranger's text
_CHARACTERS_PER_NOTE = 4  # of base64: the sizes of the attributes multiply to less than 2**24, three bytes
_SIZES = tuple(attribute.size for attribute in ATTRIBUTES)
_STEPS_LEFT_OUT_MAX = 4 * STEPS_PER_BAR  # by `last_notes`, to begin on a bar line


@dataclass(frozen=True, slots=True)
class Opening:
    """At least one note, as text; `len(opening)` is how many.

    Attributes:
        text: base64 of three bytes a note, big-endian: its token row as a number with ATTRIBUTES' sizes as bases.

    Raises:
        ValueError: the text is none of that, or its notes are not in the order of a score.
    """

    text: str

    def __post_init__(self) -> None:
        if not 0 < len(self.text) <= NOTES_MAX * _CHARACTERS_PER_NOTE:
            raise ValueError(f"an opening has 1 to {NOTES_MAX} notes")
        tokens = self.tokens
        places = tokens[:, (PART, PITCH)].tolist()
        deltas = tokens[:, DELTA].tolist()
        together = zip(deltas[1:], places, places[1:], strict=False)
        if deltas[0] or any(not delta and here <= before for delta, before, here in together):
            raise ValueError("an opening begins with its first note, and the notes of one onset ascend")

    def __len__(self) -> int:
        return len(self.text) // _CHARACTERS_PER_NOTE

    @classmethod
    def of(cls, tokens: IntArray) -> Opening:
        """The opening of token rows, [n, 5] int64."""
        numbers = np.ravel_multi_index(tuple(tokens.T), _SIZES).astype(">u4")  # [n]
        return cls(base64.b64encode(numbers.view(np.uint8).reshape(-1, 4)[:, 1:].tobytes()).decode("ascii"))

    @property
    def tokens(self) -> IntArray:
        """[n, 5] int64, in the model's key of C. Raises ValueError for a text that has none."""
        packed = np.frombuffer(base64.b64decode(self.text, validate=True), np.uint8).reshape(-1, 3)
        numbers = np.pad(packed, ((0, 0), (1, 0))).view(">u4")[:, 0].astype(np.int64)
        return np.stack(np.unravel_index(numbers, _SIZES), axis=1).astype(np.int64)


def first_notes(score: Score, key: Key, count: int) -> Opening:
    """The first notes of a piece.

    Of a piece that the model wrote they come out as they stand there, but for a note that was cut short by one that
    is not among them. Any other piece is moved to the grid of the tokens, as training music is.

    Args:
        score: of at least one note.
        key: of the score.
        count: at least 1.
    """
    return _opening(_in_c(score, key)[:count])


def last_notes(score: Score, key: Key, count: int) -> Opening:
    """The last notes of a piece: all when it has no more than `count`, else so many or some less, from a bar line on.

    Args:
        score: of at least one note.
        key: of the score.
        count: at least 1.
    """
    every = _in_c(score, key)
    notes = every[-count:]
    if len(notes) < len(every):
        latest = notes[0].start_step + _STEPS_LEFT_OUT_MAX
        on_bar = (at for at, note in enumerate(notes) if not note.start_step % STEPS_PER_BAR)
        at = next(on_bar, 0)
        notes = notes[at:] if notes[at].start_step <= latest else notes
    return _opening(notes)


def _in_c(score: Score, key: Key) -> tuple[Note, ...]:
    """The notes moved to C; those that were cut short by the next of their pitch as long as a token can say.

    The duration nearest to theirs might be shorter. A longer one is cut again, so that the score comes back as it was.
    """
    struck: dict[tuple[Part, int], int] = {}  # where a part strikes a pitch next
    notes = []
    for note in reversed(transpose(score, -key.shift).notes):
        voice = (note.part, note.pitch)
        if struck.get(voice) == note.end_step and note.duration_steps < DURATION_STEPS[-1]:
            longer = DURATION_STEPS[bisect_left(DURATION_STEPS, note.duration_steps)]
            notes.append(dataclasses.replace(note, duration_steps=longer))
        else:
            notes.append(note)
        struck[voice] = note.start_step
    return tuple(sorted(notes))


def _opening(notes: tuple[Note, ...]) -> Opening:
    rounded = decode(encode(Score(notes, 60.0)), 60.0)
    # The grid may join two onsets, and the model's range two pitches: then a chord has to be put in order again.
    once = {(note.start_step, note.part, note.pitch): note for note in reversed(rounded.notes)}
    return Opening.of(encode(Score(tuple(sorted(once.values())), 60.0)))
