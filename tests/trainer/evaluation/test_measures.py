from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from data.keys import transpose
from data.repetition import compressibility, distinct_4
from data.score import STEPS_PER_BAR, Note, Part, Score
from tests.strategies import grid_scores
from trainer.evaluation.measures import (
    MEASURES,
    bar_self_similarity,
    groove_consistency,
    lag_curve,
    phrase_repetition,
    pitch_class_entropy,
    scale_consistency,
)
from trainer.evaluation.systems import shuffled


def walk(length: int, seed: int = 1) -> list[Note]:
    rng = np.random.default_rng(seed)
    pitches = 60 + rng.integers(-12, 13, length)
    gaps = rng.choice([3, 6, 9, 12, 18], length)
    onsets = np.concatenate([[0], np.cumsum(gaps)[:-1]])
    return [
        Note(int(o), Part.KEYS, int(p), int(g), int(v))
        for o, p, g, v in zip(onsets, pitches, gaps, rng.integers(40, 100, length), strict=True)
    ]


def song(bars: int) -> Score:
    """One bar, again and again."""
    bar = [(0, 60), (6, 62), (12, 67), (18, 65), (24, 64), (36, 60), (39, 59), (42, 55)]
    return Score(tuple(Note(at + STEPS_PER_BAR * b, Part.KEYS, p, 3, 64) for b in range(bars) for at, p in bar), 80)


@given(score=grid_scores())
@settings(max_examples=40, deadline=None)
def test_every_measure_is_a_number_for_every_piece_and_blind_to_key_and_tempo(score: Score) -> None:
    lowest, highest = min(n.pitch for n in score.notes), max(n.pitch for n in score.notes)
    shift = 1 if highest < 108 else -1 if lowest > 21 else 0
    moved = transpose(Score(score.notes, 100), shift)
    for measure in MEASURES:
        value = measure.of(score)
        assert np.isfinite(value), measure.name
        assert value >= 0 or measure.name == "compressibility"  # a few bytes do not get smaller
        assert measure.of(moved) == pytest.approx(value), measure.name


def test_a_bar_played_again_and_again_is_as_alike_as_can_be() -> None:
    loop = song(12)
    assert groove_consistency(loop) == 1.0
    assert bar_self_similarity(loop) == 1.0
    np.testing.assert_array_equal(lag_curve(loop), 1.0)
    assert phrase_repetition(loop) > 0.85
    assert distinct_4(loop) < 0.1
    assert compressibility(loop) > 0.8


def test_a_random_walk_repeats_nothing() -> None:
    piece = Score(tuple(walk(200)), 80)
    assert phrase_repetition(piece) == 0.0
    assert bar_self_similarity(piece) < 0.2
    assert distinct_4(piece) > 0.9
    assert compressibility(piece) < compressibility(song(25))


def test_bars_that_come_back_after_two_bars_peak_there() -> None:
    a, b = walk(12, 1), walk(12, 2)
    notes = []
    for bar in range(12):
        notes += [Note(STEPS_PER_BAR * bar + 4 * i, n.part, n.pitch, 4, 64) for i, n in enumerate(a if bar % 2 else b)]
    curve = lag_curve(Score(tuple(sorted(notes)), 80))
    assert curve[1] == curve[3] == 1.0
    assert curve[0] < 0.3


def bars(*pitches: tuple[int, ...]) -> Score:
    """Bars of chords on the first beat."""
    return Score(
        tuple(Note(STEPS_PER_BAR * at, Part.KEYS, pitch, 12, 64) for at, bar in enumerate(pitches) for pitch in bar), 80
    )


def test_bars_are_compared_by_what_is_in_either_and_no_further_than_eight_back() -> None:
    np.testing.assert_allclose(lag_curve(bars((60,), (), (60,)), 2), [0.0, 1.0])
    np.testing.assert_allclose(lag_curve(bars((60,), (60, 64)), 1), [0.5])
    others = [(61 + at,) for at in range(8)]
    assert bar_self_similarity(bars((60,), *others[:7], (60,))) == pytest.approx(1 / 8)
    assert bar_self_similarity(bars((60,), *others, (60,))) == 0.0


def test_shares_and_bits_of_what_can_be_counted_by_hand() -> None:
    assert phrase_repetition(Score(tuple(Note(6 * at, Part.KEYS, 60, 6, 64) for at in range(20)), 80)) == 11 / 12
    assert pitch_class_entropy(bars((60,), (62,), (64,), (65,))) == pytest.approx(2.0)


def test_controls_know_scales_and_cannot_tell_a_shuffle() -> None:
    scale = Score(tuple(Note(6 * i, Part.KEYS, 60 + s, 6, 64) for i, s in enumerate([0, 2, 4, 5, 7, 9, 11] * 20)), 80)
    assert scale_consistency(scale) == 1.0
    assert pitch_class_entropy(scale) == pytest.approx(np.log2(7))
    mixed = shuffled(scale, np.random.default_rng(1))
    assert pitch_class_entropy(mixed) == pytest.approx(np.log2(7))
    assert phrase_repetition(mixed) < 0.5 * phrase_repetition(scale)


def test_a_shuffle_has_the_same_notes() -> None:
    piece = Score(tuple(walk(80)), 80)
    mixed = shuffled(piece, np.random.default_rng(1))
    assert sorted(n.pitch for n in mixed.notes) == sorted(n.pitch for n in piece.notes)
    assert mixed != piece
