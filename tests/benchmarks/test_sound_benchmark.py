"""What the sound benchmarks measure and picture."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import sound_pictures
from benchmarks.sound import opening
from benchmarks.sound_memory import PeakMemory
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


@pytest.mark.skipif(sys.platform != "linux", reason="what a process takes is read from /proc")
def test_a_megabyte_is_a_million_bytes() -> None:
    held = [_peak_mb(f"kept = bytearray(b'x') * {size}") for size in (1, 400_000_000)]
    assert held[1] - held[0] == pytest.approx(400, abs=4)


def _peak_mb(program: str) -> float:
    command = [sys.executable, "-c", f"{program}\nprint(flush=True)\ninput()"]
    with PeakMemory() as peak, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        child.stdout.readline()
        time.sleep(0.2)
        child.stdin.write(b"\n")
    return peak.mb
