from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from data.repetition import REPETITION, bands, compressibility, distinct_4, excerpts, longest_pitch_run
from data.score import STEPS_PER_BAR, Note, Part, Score


def random_walk(length: int) -> Score:
    rng = np.random.default_rng(1)
    onsets = 6 + np.cumsum(rng.choice([3, 6, 9, 12, 18], length))
    pitches = 60 + rng.integers(-12, 13, length)
    return Score(tuple(Note(int(o), Part.KEYS, int(p), 6, 64) for o, p in zip(onsets, pitches, strict=True)), 80)


def ostinato(length: int) -> Score:
    return Score(tuple(Note(6 * n, Part.PLUCK, 60 + (0, 3, 7, 12)[n % 4], 6, 64) for n in range(length)), 80)


def test_an_ostinato_repeats_itself_and_a_random_walk_does_not() -> None:
    assert distinct_4(ostinato(200)) == pytest.approx(4 / 196)
    assert distinct_4(random_walk(200)) > 0.9
    assert compressibility(ostinato(200)) > 0.9
    assert compressibility(random_walk(200)) < 0.7


def test_the_longest_pitch_run_counts_notes() -> None:
    pitches = [60, 60, 62, 62, 62, 60]
    piece = Score(tuple(Note(12 * i, Part.KEYS, p, 12, 64) for i, p in enumerate(pitches)), 60)
    assert longest_pitch_run(piece) == 3


def test_intervals_are_told_apart_to_the_ends_of_the_keyboard() -> None:
    # A base too small for the intervals would take these 4-grams for one another.
    leaps = [0, 127, 0, 127, 0, 127, 0, 126, 0, 127, 1, 127]
    piece = Score(tuple(Note(6 * i, Part.KEYS, p, 6, 64) for i, p in enumerate(leaps)), 60)
    intervals = [b - a for a, b in pairwise(leaps)]
    grams = [tuple(intervals[at : at + 4]) for at in range(len(intervals) - 3)]
    assert distinct_4(piece) == len(set(grams)) / len(grams)


def test_every_measure_is_a_number_even_for_a_single_note() -> None:
    single = Score((Note(0, Part.PULSE, 36, 6, 64),), 80)
    assert all(np.isfinite(measure(single)) for measure in REPETITION.values())


def test_excerpts_have_the_length_asked_for_and_begin_in_their_first_bar() -> None:
    long = random_walk(500)
    found = excerpts(long, 100)
    assert [len(score.notes) for score in found] == [100, 100, 100]
    assert all(score.notes[0].start_step < STEPS_PER_BAR for score in found)
    assert found[0].notes == long.notes[:100]
    assert [len(excerpts(random_walk(150), length)) for length in (30, 100, 150, 151)] == [3, 1, 1, 0]


def test_a_band_holds_nine_of_ten() -> None:
    tens = [ostinato(5 * n) for n in range(2, 23)]  # the longer, the fewer of its 4-grams are different
    low, high = bands(tens)["distinct-4"]
    outside = [not low <= distinct_4(piece) <= high for piece in tens]
    assert outside == [True, *[False] * 19, True]


def test_drums_have_no_intervals() -> None:
    beats = [Note(6 * n + 3, Part.PULSE, 36 + n % 5, 3, 64) for n in range(100)]
    both = Score(tuple(sorted([*ostinato(100).notes, *beats])), 80)
    assert distinct_4(both) == distinct_4(ostinato(100))
