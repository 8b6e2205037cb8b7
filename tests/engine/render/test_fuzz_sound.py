"""A small sample of `python -m benchmarks.fuzz_sound`, which tries 5,000."""

import json
import random
import tempfile
import time
from pathlib import Path

import pytest

from benchmarks import fuzz_sound
from benchmarks.fuzz_sound import _good_files, fuzz, mutated


@pytest.fixture
def scratch():
    before = tempfile.tempdir
    yield
    tempfile.tempdir = before


@pytest.mark.usefixtures("scratch")
def test_forty_mutated_files_do_no_harm(tmp_path):
    sources = [str(path) for path in _good_files(tmp_path / "good")]
    outcomes = fuzz(sources, 1, range(40), str(tmp_path))
    assert sum(outcomes.values()) == 40
    assert not [outcome for outcome in outcomes if outcome.isupper()]
    assert {"refused", "played"} <= set(outcomes)
    assert not list((tmp_path / "work").iterdir())


def test_mutations_differ_and_are_reproducible():
    data = bytes(range(200))
    some = [mutated(data, random.Random(index)) for index in range(20)]
    assert len(set(some)) > 15
    assert some == [mutated(data, random.Random(index)) for index in range(20)]


@pytest.mark.usefixtures("scratch")
def test_what_must_not_happen_is_counted_and_survived(tmp_path, monkeypatch, capsys):
    good = tmp_path / "good.mid"
    good.write_bytes(b"MThd")

    def careless(_data, _suffix, _renderer, folder, *, direct):
        (folder / "left").mkdir()
        if direct:
            raise IndexError("no such track")
        return "played"

    monkeypatch.setattr(fuzz_sound, "_try", careless)
    assert fuzz([str(good)], 1, range(3), str(tmp_path)) == {"CRASHED": 1, "played": 2, "LEFT SOMETHING BEHIND": 3}
    assert "file 0, seed 1: IndexError('no such track')" in capsys.readouterr().err


def hangs(_sources, _seed, indices, _folder):
    time.sleep(600 if indices.start == 0 else 0)
    return {"played": len(indices)}


def test_a_hang_is_told_and_the_next_files_are_tried(monkeypatch, capsys):
    monkeypatch.setattr(fuzz_sound, "fuzz", hangs)
    monkeypatch.setattr(fuzz_sound, "_good_files", lambda _: [Path("good.mid")])
    monkeypatch.setattr(fuzz_sound, "_BATCH_SLOW_S", 20.0)
    assert fuzz_sound.main(["--files", "60", "--json"]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["outcomes"] == {"HUNG": 1, "played": 10}
    assert said.err == "hung among files 0 to 49, seed 0\n"
