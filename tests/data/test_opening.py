from __future__ import annotations

import base64
import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.keys import Key, transpose
from data.opening import NOTES_MAX, Opening, first_notes, last_notes
from data.score import STEPS_PER_BAR, Note, Part, Score, trim_overlaps
from data.tokens import ATTRIBUTES, DELTA, PART, PITCH, decode, encode
from tests.strategies import any_score, grid_scores

keys = st.builds(Key, st.integers(0, 11), st.sampled_from(("major", "minor")))


def played(opening: Opening, key: Key, tempo_bpm: float) -> Score:
    """The score that begins a piece, as the engine makes it of tokens."""
    moved = transpose(decode(opening.tokens, tempo_bpm), key.shift)
    return Score(trim_overlaps(moved.notes), tempo_bpm)


@given(grid_scores(), keys)
def test_a_piece_on_the_grid_comes_back_note_for_note_in_its_key(score: Score, key: Key) -> None:
    piece = Score(trim_overlaps(transpose(score, key.shift).notes), score.tempo_bpm)
    opening = last_notes(piece, key, len(piece.notes))
    assert len(opening) == len(piece.notes)
    assert played(opening, key, piece.tempo_bpm) == piece
    assert first_notes(piece, key, len(piece.notes)) == opening


@given(any_score, keys, st.integers(1, 80))
def test_any_music_gives_openings_in_score_order_of_at_most_so_many_notes(score: Score, key: Key, count: int) -> None:
    assume(score.notes)
    for opening in (first_notes(score, key, count), last_notes(score, key, count)):
        assert 1 <= len(opening) <= count
        assert opening == Opening(opening.text)
        tokens = opening.tokens
        assert len(tokens) == len(opening)
        assert (tokens >= 0).all()
        assert (tokens < [attribute.size for attribute in ATTRIBUTES]).all()
        assert tokens[0, DELTA] == 0
        for before, here in itertools.pairwise(tokens):
            assert here[DELTA] or tuple(before[[PART, PITCH]]) < tuple(here[[PART, PITCH]])


@given(grid_scores(), keys)
def test_text_and_tokens_say_the_same(score: Score, key: Key) -> None:
    opening = first_notes(score, key, 60)
    assert len(opening.text) == 4 * len(opening)
    assert Opening.of(opening.tokens) == opening
    np.testing.assert_array_equal(encode(decode(opening.tokens, 60)), opening.tokens)


def test_the_last_notes_begin_on_a_bar_line_where_one_is_near() -> None:
    quarters = Score(tuple(Note(12 * n, Part.PAD, 60 + n % 5, 12, 68) for n in range(64)), 60)
    assert len(last_notes(quarters, Key(0, "minor"), 30)) == 28  # from note 36 on, a downbeat
    off_beat = Score(tuple(Note(12 * n + 3, Part.PAD, 60 + n % 5, 12, 68) for n in range(64)), 60)
    assert len(last_notes(off_beat, Key(0, "minor"), 30)) == 30
    far = Note(12 * 64 + STEPS_PER_BAR * 9, Part.PAD, 60, 12, 68)
    assert len(last_notes(Score((*off_beat.notes, far), 60), Key(0, "minor"), 30)) == 30


BEYOND = base64.b64encode(b"\xff\xff\xff").decode()


@pytest.mark.parametrize(
    "text",
    ["", "AAA", "AAAAA", "AA AA", "AA==", "ÄAAA", "AAAA" * 2, BEYOND, "AAAA" * (NOTES_MAX + 1), "\x00\x00\x00\x00"],
    ids=["empty", "short", "long", "space", "padded", "letters", "twice the same note", "beyond", "endless", "zeros"],
)
def test_what_is_no_opening_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - told to nobody: callers say what it means there
        Opening(text)


@given(st.text(max_size=40) | st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode()))
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        tokens = Opening(text).tokens
    except ValueError:
        return
    assert (tokens[:, PART] < len(Part)).all()
