from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.attributes import attributes
from data.keys import transpose
from data.mood_estimate import estimate_mood, mood_log_shares
from data.moods import MOODS, Mood
from data.score import STEPS_PER_BAR, Note, Part, Score
from tests.strategies import any_note

MAJOR, MINOR, CLUSTER, WHOLE_TONES = (0, 4, 7), (0, 3, 7), (0, 1, 6), (0, 2, 4, 6, 8, 10)


def piece(
    chord: tuple[int, ...], *, root: int, tempo_bpm: float, notes_per_bar: int, velocity: int = 80, held: bool = True
) -> Score:
    """Eight bars of one chord, broken into `notes_per_bar` onsets with all its notes each."""
    step = STEPS_PER_BAR // notes_per_bar
    onsets = range(0, 8 * STEPS_PER_BAR, step)
    duration = step if held else max(1, step // 3)
    notes = [Note(onset, Part.PAD, root + pitch, duration, velocity) for onset in onsets for pitch in chord]
    return Score(tuple(sorted(notes)), tempo_bpm)


@pytest.mark.parametrize(
    ("score", "moods"),
    [
        (piece(CLUSTER, root=33, tempo_bpm=50, notes_per_bar=1), {Mood.DARK}),
        (piece(MAJOR, root=55, tempo_bpm=50, notes_per_bar=1), {Mood.AMBIENT, Mood.ETHEREAL}),
        (piece(MAJOR, root=79, tempo_bpm=56, notes_per_bar=2), {Mood.ETHEREAL}),
        (piece(CLUSTER, root=55, tempo_bpm=120, notes_per_bar=8, velocity=90, held=False), {Mood.TENSE}),
        (piece(WHOLE_TONES, root=60, tempo_bpm=60, notes_per_bar=2, velocity=60), {Mood.MYSTERIOUS}),
        (piece(MINOR, root=57, tempo_bpm=72, notes_per_bar=4, velocity=80), {Mood.MELANCHOLIC}),
        (piece(MAJOR, root=60, tempo_bpm=110, notes_per_bar=8), {Mood.HOPEFUL}),
        (
            piece((0, 4, 7, 12, 16, 19, 24, 28), root=40, tempo_bpm=150, notes_per_bar=8, velocity=120),
            {Mood.EPIC},
        ),
    ],
    ids=[
        "low cluster",
        "slow major",
        "high major",
        "fast cluster",
        "soft whole tones",
        "slow minor",
        "brisk major",
        "loud and full",
    ],
)
def test_plain_examples_get_the_mood_that_a_listener_would_name(score: Score, moods: set[Mood]) -> None:
    assert estimate_mood(score).mood in moods


def test_tempo_and_loudness_raise_arousal() -> None:
    slow = piece(MINOR, root=55, tempo_bpm=60, notes_per_bar=2, velocity=60)
    faster = dataclasses.replace(slow, tempo_bpm=120.0)
    louder = piece(MINOR, root=55, tempo_bpm=60, notes_per_bar=2, velocity=110)
    assert estimate_mood(faster).arousal > estimate_mood(slow).arousal
    assert estimate_mood(louder).arousal > estimate_mood(slow).arousal


def test_major_and_a_higher_register_raise_valence() -> None:
    minor = piece(MINOR, root=48, tempo_bpm=80, notes_per_bar=2)
    major = piece(MAJOR, root=48, tempo_bpm=80, notes_per_bar=2)
    assert estimate_mood(major).valence > estimate_mood(minor).valence
    assert estimate_mood(transpose(minor, 12)).valence > estimate_mood(minor).valence


@settings(max_examples=50, deadline=None)
@given(st.lists(any_note, min_size=1, max_size=30), st.integers(30, 240))
def test_every_score_gets_an_estimate_within_its_bounds(found: list[Note], tempo_bpm: int) -> None:
    estimate = estimate_mood(Score(tuple(sorted(found)), tempo_bpm))
    assert 1 / 8 <= estimate.confidence <= 1
    assert -1 <= estimate.valence <= 1
    assert -1 <= estimate.arousal <= 1
    shares = mood_log_shares(attributes(Score(tuple(sorted(found)), tempo_bpm)))
    assert set(shares) == set(MOODS)
    assert sum(map(math.exp, shares.values())) == pytest.approx(1)
    assert math.exp(shares[estimate.mood]) == pytest.approx(estimate.confidence) == math.exp(max(shares.values()))


def test_a_score_without_notes_has_no_mood() -> None:
    with pytest.raises(ValueError, match="without notes"):
        estimate_mood(Score((), 60))
