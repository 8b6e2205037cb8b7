from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from data.moods import MOODS, Mood
from data.score import STEPS_PER_BAR, Note, Part, Score
from data.tokens import (
    ATTRIBUTES,
    BAR_POSITION,
    CONDITIONS,
    DELTA_STEPS,
    MOOD,
    POLYPHONY,
    REMAINING,
    conditions,
    decode,
    encode,
    remaining_bin,
)
from tests.strategies import any_score, grid_scores


@given(grid_scores())
def test_a_score_on_the_grid_survives_the_round_trip(score: Score) -> None:
    assert decode(encode(score), score.tempo_bpm) == score


@given(any_score)
def test_encoding_is_idempotent_and_stays_inside_the_vocabulary(score: Score) -> None:
    tokens = encode(score)
    assert tokens.shape == (len(score.notes), len(ATTRIBUTES))
    for column, attribute in enumerate(ATTRIBUTES):
        assert all(0 <= value < attribute.size for value in tokens[:, column])
    once = decode(tokens, score.tempo_bpm)
    assert decode(encode(once), score.tempo_bpm) == once


def test_rounding_of_deltas_does_not_add_up_to_drift() -> None:
    # 50 steps is no bin: 48 and 60 are. Rounding each delta alone would end 98 steps early.
    score = Score(tuple(Note(50 * i, Part.PAD, 60, 12, 64) for i in range(50)), 60)
    last = decode(encode(score), 60).notes[-1]
    assert abs(last.start_step - 50 * 49) <= 6


def test_a_pause_beyond_the_longest_bin_is_shortened_once() -> None:
    score = Score(
        (Note(0, Part.PAD, 60, 12, 64), Note(5000, Part.PAD, 62, 12, 64), Note(5012, Part.PAD, 64, 12, 64)), 60
    )
    assert [note.start_step for note in decode(encode(score), 60).notes] == [0, DELTA_STEPS[-1], DELTA_STEPS[-1] + 12]


def test_an_empty_score_has_no_tokens() -> None:
    assert encode(Score((), 60)).shape == (0, 5)


@given(grid_scores())
def test_conditions_look_only_at_notes_before(score: Score) -> None:
    tokens = encode(score)
    rows = conditions(tokens, mood=Mood.DARK, mode="minor", tempo_bpm=score.tempo_bpm)
    assert rows.shape == (len(tokens), len(CONDITIONS))
    changed = tokens.copy()
    changed[-1] = 0
    again = conditions(changed, mood=Mood.DARK, mode="minor", tempo_bpm=score.tempo_bpm)
    np.testing.assert_array_equal(rows, again)
    for column, condition in enumerate(CONDITIONS):
        assert all(0 <= value < condition.size for value in rows[:, column])


def test_conditions_say_where_in_the_bar_how_many_sound_and_how_many_are_left() -> None:
    score = Score((Note(0, Part.DRONE, 36, 96, 64), Note(12, Part.PAD, 60, 12, 64), Note(60, Part.PAD, 62, 12, 64)), 60)
    rows = conditions(encode(score), mood=None, mode=None, tempo_bpm=60)
    assert rows[:, BAR_POSITION].tolist() == [0, 0, 12 % STEPS_PER_BAR]
    assert rows[:, POLYPHONY].tolist() == [0, 1, 2]
    assert rows[:, REMAINING].tolist() == [remaining_bin(3), remaining_bin(2), remaining_bin(1)]
    assert rows[:, MOOD].tolist() == [len(MOODS)] * 3


@pytest.mark.parametrize(("left", "right"), [(1, 2), (16, 17), (1024, 1025)])
def test_notes_left_are_told_apart_where_an_ending_is_made(left: int, right: int) -> None:
    assert remaining_bin(left) != remaining_bin(right)
