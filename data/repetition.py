"""How much a piece repeats itself, counted cheaply: measures of a score that were fitted to nothing.

What is human depends on the length (a longer piece repeats more), so human bands are taken from excerpts of
`EXCERPT_NOTES` notes, and a piece is compared with them by excerpts of its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data.score import STEPS_PER_BAR, Note, Part, Score
from data.tokens import encode

EXCERPT_NOTES = 200  # what people ask for when they ask for nothing else
_EXCERPTS_MAX = 3  # of one piece, so that no long piece rules, and none costs more than these


def excerpts(score: Score, length_notes: int = EXCERPT_NOTES, most: int = _EXCERPTS_MAX) -> list[Score]:
    """Stretches of a score, so that like is compared with like.

    Args:
        score: a piece; one that is shorter than `length_notes` has no excerpt.
        length_notes: of every excerpt.
        most: at most so many, evenly spread over the piece.

    Returns:
        the excerpts, each moved by whole bars to the beginning.
    """
    count = min(most, len(score.notes) // length_notes)
    starts = np.linspace(0, len(score.notes) - length_notes, count).astype(int).tolist()
    return [Score(_from_bar(score.notes[at : at + length_notes]), score.tempo_bpm) for at in starts]


def _from_bar(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    from_step = notes[0].start_step // STEPS_PER_BAR * STEPS_PER_BAR
    return tuple(Note(n.start_step - from_step, n.part, n.pitch, n.duration_steps, n.velocity) for n in notes)


def pitches(score: Score) -> npt.NDArray[np.int64]:
    """[N] int64: the MIDI note numbers of what is not a drum, in score order."""
    return np.array([note.pitch for note in score.notes if note.part is not Part.PULSE], dtype=np.int64)


def distinct_4(score: Score) -> float:
    """Different 4-grams of pitch intervals as a share of all (distinct-n, Li et al. 2016, on intervals)."""
    intervals = np.diff(pitches(score)) + 127  # [N], 0 to 254
    if len(intervals) < 4:
        return 1.0
    # A 4-gram as one number in base 256.
    grams = np.lib.stride_tricks.sliding_window_view(intervals, 4) @ (256 ** np.arange(4))
    return len(np.unique(grams)) / len(grams)


def longest_pitch_run(score: Score) -> float:
    """Notes of the longest run of one pitch in score order, over all parts."""
    found = np.array([note.pitch for note in score.notes])
    edges = np.flatnonzero(np.concatenate(([True], np.diff(found) != 0, [True])))
    return float(np.diff(edges).max())


def compressibility(score: Score) -> float:
    """Share of the bytes that DEFLATE saves on the tokens (part, delta, pitch interval, duration), 0 to 1.

    Compressed size bounds the information in a piece from above (Li & Vitányi 2008; Meredith 2012 for music).
    """
    tokens = encode(score)
    rows = np.stack([tokens[:, 0], tokens[:, 1], np.diff(tokens[:, 2], prepend=tokens[:1, 2]) % 256, tokens[:, 3]])
    raw = rows.astype(np.uint8).tobytes()  # attribute after attribute: the order that favours repetition
    return 1 - len(zlib.compress(raw, 9)) / len(raw)


REPETITION: dict[str, Callable[[Score], float]] = {
    "distinct-4": distinct_4,
    "longest pitch run": longest_pitch_run,
    "compressibility": compressibility,
}


def bands(scores: Sequence[Score]) -> dict[str, tuple[float, float]]:
    """What 90 of 100 of some excerpts, at least one, lie within for each measure: (5th, 95th percentile)."""
    found: dict[str, tuple[float, float]] = {}
    for name, measure in REPETITION.items():
        low, high = np.percentile([measure(score) for score in scores], (5, 95))
        found[name] = float(low), float(high)
    return found
