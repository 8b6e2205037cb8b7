from __future__ import annotations

import pytest

from data.attributes import attributes
from data.keys import Key
from data.score import Note, Part, Score


def chord(*pitches: int, start_step: int = 0, duration_steps: int = 48, velocity: int = 64) -> list[Note]:
    return [Note(start_step, Part.PAD, pitch, duration_steps, velocity) for pitch in pitches]


def test_counts_of_a_small_score() -> None:
    # Two beats of a third below C3, two of a note above it, at one beat a second.
    notes = (*chord(40, 44, duration_steps=24, velocity=60), *chord(60, start_step=24, duration_steps=24, velocity=90))
    found = attributes(Score(tuple(notes), 60))
    assert found.notes_per_second == pytest.approx(0.75)
    assert found.notes_per_beat == pytest.approx(0.75)
    assert found.pitch_mean == pytest.approx(48)
    assert found.low_share == pytest.approx(2 / 3)
    assert found.velocity_mean == pytest.approx(70)
    assert found.duration_s == pytest.approx(2)
    assert found.polyphony == pytest.approx(1.5)
    assert found.pitch_class_entropy_bits == pytest.approx(1.585, abs=1e-3)


def test_dissonance_orders_chords_as_listeners_do() -> None:
    chords = [
        (48, 55),
        (48, 52, 55),
        (48, 52, 55, 59),
        (48, 54, 60),
        (48, 49),
    ]  # fifth, triad, seventh, tritone, second
    values = [attributes(Score(tuple(chord(*pitches)), 60)).dissonance for pitches in chords]
    assert values == sorted(values)
    assert values[0] == 0.0
    assert values[-1] == 1.0


def test_dissonance_counts_only_what_sounds_together() -> None:
    after_each_other = (*chord(60), *chord(61, start_step=48))
    assert attributes(Score(after_each_other, 60)).dissonance == 0.0
    octaves = tuple(chord(48, 60, 72))
    assert attributes(Score(octaves, 60)).dissonance == 0.0


def test_rests_do_not_thin_the_polyphony() -> None:
    apart = (*chord(60, 64), *chord(60, 64, start_step=480))
    assert attributes(Score(apart, 60)).polyphony == pytest.approx(2.0)


def test_majorness_has_the_sign_of_the_mode() -> None:
    major = attributes(Score(tuple(chord(60, 64, 67, 72)), 60))
    minor = attributes(Score(tuple(chord(60, 63, 67, 72)), 60))
    assert (major.key, minor.key) == (Key(0, "major"), Key(0, "minor"))
    assert major.majorness > 0.5
    assert minor.majorness < -0.5


def test_a_score_without_notes_has_only_a_tempo() -> None:
    found = attributes(Score((), 77))
    assert found.tempo_bpm == 77
    assert found.polyphony == found.dissonance == found.notes_per_second == 0.0
