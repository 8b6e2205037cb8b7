"""What a request leaves open is decided from its seed, and from what the checkpoint's training music was like."""

from __future__ import annotations

from data.controls import CONTROLS, NOT_TOLD
from data.keys import Key
from data.moods import Mood
from engine.plan import Style, plan
from engine.types import ComposeRequest


def style(mode: int, tempo: int, value: int) -> Style:
    return Style(mode, tempo, (value,) * len(CONTROLS))


def test_a_style_reads_back_from_its_text() -> None:
    assert Style.parse(str(style(1, 3, 5))) == style(1, 3, 5)


def test_without_styles_the_model_is_told_nothing_about_the_piece() -> None:
    decided = plan(ComposeRequest(seed=1))
    assert decided.controls == NOT_TOLD
    assert decided.told(Mood.DARK)[3:] == NOT_TOLD


def test_the_style_suits_mood_mode_and_tempo() -> None:
    styles = {
        Mood.DARK: [style(0, 0, 0), style(1, 0, 1), style(1, 7, 2)],
        Mood.EPIC: [style(1, 7, 3)],
    }

    def drawn(mood: Mood, key: str, tempo_bpm: int) -> int:
        request = ComposeRequest(seed=1, mood=mood, key=Key.parse(key), tempo_bpm=tempo_bpm)
        return plan(request, styles).controls[0]

    assert drawn(Mood.DARK, "C", 50) == 0
    assert drawn(Mood.DARK, "Cm", 50) == 1
    assert drawn(Mood.DARK, "Cm", 190) == 2
    assert drawn(Mood.EPIC, "C", 50) == 3
    assert plan(ComposeRequest(seed=1, mood=Mood.TENSE), styles).controls == NOT_TOLD


def test_styles_leave_tempo_and_key_as_they_were_and_the_seed_chooses_among_them() -> None:
    styles = {Mood.DARK: [style(1, 0, value) for value in range(6)]}
    request = ComposeRequest(seed=1)
    assert plan(request, styles) == plan(request, styles)
    assert plan(request, styles).key == plan(request).key
    assert plan(request, styles).tempo_bpm == plan(request).tempo_bpm
    assert len({plan(ComposeRequest(seed=seed), styles).controls for seed in range(40)}) == 6
