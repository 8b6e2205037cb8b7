"""Controls: a whole piece in a few coarse numbers."""

from __future__ import annotations

import dataclasses

from hypothesis import given, settings

from data.composer.piece import compose_piece
from data.controls import CONTROLS, NOT_TOLD, controls
from data.moods import Mood
from data.score import Score
from tests.strategies import grid_scores

NAMES = [control.name for control in CONTROLS]


@given(score=grid_scores())
@settings(max_examples=50, deadline=None)
def test_every_piece_has_a_value_of_every_control_and_never_the_one_for_not_known(score: Score) -> None:
    values = controls(score)
    assert len(values) == len(CONTROLS)
    for value, control in zip(values, CONTROLS, strict=True):
        assert 0 <= value < control.not_known < control.size


def test_not_told_is_a_value_that_no_piece_has() -> None:
    assert tuple(control.size - 1 for control in CONTROLS) == NOT_TOLD


def test_louder_higher_and_denser_music_has_higher_values() -> None:
    score = compose_piece(3, Mood.AMBIENT).score
    changed = Score(
        tuple(
            dataclasses.replace(
                note,
                start_step=note.start_step // 4,
                duration_steps=max(1, note.duration_steps // 4),
                pitch=min(127, note.pitch + 12),
                velocity=min(127, note.velocity + 40),
            )
            for note in score.notes
        ),
        score.tempo_bpm,
    )
    before, after = dict(zip(NAMES, controls(score), strict=True)), dict(zip(NAMES, controls(changed), strict=True))
    for name in ("notes_per_beat", "pitch_mean", "velocity_mean"):
        assert after[name] > before[name], name
