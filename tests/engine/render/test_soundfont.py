"""A soundfont that FluidSynth would silently replace is refused before."""

import struct

import pytest

from engine.errors import SetupProblem
from engine.render import Renderer
from engine.render.soundfont import ENVIRONMENT_VARIABLE, check_soundfont, find_soundfont


@pytest.fixture
def whole():
    return find_soundfont().read_bytes()[:4096]


def test_the_installed_one_is_whole():
    check_soundfont(find_soundfont())


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is not a soundfont"),
        (b"junk" * 100, "is not a soundfont"),
        (b"RIFF\x00\x00\x00\x00WAVE" + bytes(100), "is not a soundfont"),
        (b"RIFF\x5c\x00\x00\x00sfbk" + bytes(88), "is damaged"),
        (b"RIFF\x04\x00\x00\x00sfbk", "is damaged"),
    ],
)
def test_junk_is_told_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "junk.sf2"
    path.write_bytes(content)
    with pytest.raises(SetupProblem, match=sentence):
        Renderer(soundfont=path).check()


@pytest.mark.parametrize("padding", [b"", b"\0"])
def test_lists_of_odd_length_may_be_padded_or_not(tmp_path, padding):
    lists = (b"INFO" + bytes(8), b"sdta" + bytes(7), b"pdta" + bytes(8))
    chunks = b"".join(b"LIST" + struct.pack("<I", len(part)) + part + padding * (len(part) % 2) for part in lists)
    body = b"sfbk" + chunks
    path = tmp_path / "odd.sf3"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    check_soundfont(path)


def test_truncated(tmp_path, whole):
    path = tmp_path / "-truncated.sf2"
    path.write_bytes(whole)
    with pytest.raises(SetupProblem, match="is truncated"):
        Renderer(soundfont=path).check()


def test_missing_and_folder(tmp_path):
    with pytest.raises(SetupProblem, match="does not exist"):
        Renderer(soundfont=tmp_path / "none.sf2").check()
    with pytest.raises(SetupProblem, match="is a folder"):
        Renderer(soundfont=tmp_path).check()


def test_environment_variable_wins(tmp_path, monkeypatch):
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, str(tmp_path / "mine.sf2"))
    with pytest.raises(SetupProblem, match=r"mine\.sf2 does not exist"):
        Renderer().check()


def test_missing_fluidsynth_names_the_package(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupProblem, match=r"FluidSynth is not installed.*fluidsynth"):
        Renderer().check()


def test_what_is_in_the_projects_own_folder_goes_before_the_systems(tmp_path, monkeypatch):
    monkeypatch.delenv(ENVIRONMENT_VARIABLE, raising=False)
    monkeypatch.setattr("engine.render.soundfont._OURS", tmp_path)
    assert find_soundfont().parent != tmp_path
    (mine := tmp_path / "of my own.sf3").write_bytes(b"")
    assert find_soundfont() == mine
