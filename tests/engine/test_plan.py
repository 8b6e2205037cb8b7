"""What a request leaves open is decided from its seed, and from what the checkpoint's training music was like."""

from __future__ import annotations

import pytest

from data.controls import CONTROLS, NOT_TOLD
from data.keys import Key
from data.moods import MOODS, PROFILES, Mood
from data.tokens import remaining_bin
from engine.plan import Style, plan
from engine.types import ComposeRequest


def style(mode: int, tempo: int, value: int, length_notes: int = 200) -> Style:
    return Style(mode, tempo, remaining_bin(length_notes), (value,) * len(CONTROLS))


def test_a_style_reads_back_from_its_text() -> None:
    assert Style.parse(str(style(1, 3, 5))) == style(1, 3, 5)
    for value in (-1, min(control.size for control in CONTROLS)):
        with pytest.raises(ValueError, match="no controls"):
            Style.parse(str(style(1, 3, value)))


def test_tempo_and_mode_are_drawn_as_the_mood_has_them() -> None:
    for mood in MOODS:
        plans = [plan(ComposeRequest(seed=seed, mood=mood)) for seed in range(500)]
        tempi_bpm = [each.tempo_bpm for each in plans]
        assert (min(tempi_bpm), max(tempi_bpm)) == PROFILES[mood].tempo_bpm
        major_share = sum(each.key.mode == "major" for each in plans) / len(plans)
        assert major_share == pytest.approx(PROFILES[mood].major_share, abs=0.07)  # three standard errors


def test_without_styles_the_model_is_told_nothing_about_the_piece() -> None:
    decided = plan(ComposeRequest(seed=1))
    assert decided.controls == NOT_TOLD
    assert decided.told(Mood.DARK)[3:] == NOT_TOLD


def drawn(styles: dict[Mood, list[Style]], key: str = "Cm", tempo_bpm: int = 50, length_notes: int = 200) -> set[int]:
    """What dark requests with these wishes are told."""
    return {
        plan(
            ComposeRequest(seed=seed, key=Key.parse(key), tempo_bpm=tempo_bpm, length_notes=length_notes), styles
        ).controls[0]
        for seed in range(60)
    }


def test_the_style_suits_mode_tempo_and_length() -> None:
    many = 12  # as many as a request chooses among
    styles = {
        Mood.DARK: [style(0, 0, 0)] * many
        + [style(1, 0, 1)] * many
        + [style(1, 7, 2)] * many
        + [style(1, 0, 3, length_notes=1000)] * many
    }
    assert drawn(styles, key="C") == {0}
    assert drawn(styles) == {1}
    assert drawn(styles, tempo_bpm=190) == {2}
    assert drawn(styles, length_notes=900) == {3}


def test_a_mood_without_styles_is_told_nothing() -> None:
    assert plan(ComposeRequest(seed=1, mood=Mood.TENSE), {Mood.DARK: [style(1, 0, 1)]}).controls == NOT_TOLD


def test_styles_leave_tempo_and_key_as_they_were_and_the_seed_chooses_among_them() -> None:
    styles = {Mood.DARK: [style(1, 0, value) for value in range(6)]}
    request = ComposeRequest(seed=1)
    assert plan(request, styles) == plan(request, styles)
    assert plan(request, styles).key == plan(request).key
    assert plan(request, styles).tempo_bpm == plan(request).tempo_bpm
    assert len({plan(ComposeRequest(seed=seed), styles).controls for seed in range(40)}) == 6
