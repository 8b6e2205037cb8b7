"""What the sound benchmarks measure and picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import sound_pictures
from benchmarks.sound import opening
from data.score import Note, Part, Score


def test_help_for_the_pictures_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="0"):
        sound_pictures.main(["--help"])
    assert list(tmp_path.iterdir()) == []


def test_an_opening_ends_when_it_should() -> None:
    score = Score(tuple(Note(12 * step, Part.BELL, 60, 30, 90) for step in range(40)), 60.0)
    first = opening(score, 10)
    assert 9 < first.duration_s <= 10
    assert len(first.notes) == sum(score.seconds(note.start_step) < 10 for note in score.notes)
