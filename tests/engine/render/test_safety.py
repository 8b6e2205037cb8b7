"""Whatever comes in or breaks: one clear sentence, in bounded time, and nothing is left behind."""

import errno
import math
import os
import resource
import stat
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest

from data.errors import InvalidMidi, MusicLSTMError
from data.midi import write_midi
from data.moods import Mood
from data.score import Note, Part, Score
from data.spaces import Space
from engine.errors import RenderFailed, SetupProblem, StorageProblem
from engine.render import Renderer
from engine.render import fluidsynth as fluidsynth_module
from engine.render.bank import default_cache, ensure_bank
from engine.render.fluidsynth import FluidSynth
from engine.render.soundfont import find_soundfont

SHORT = Score((Note(0, Part.PAD, 60, 12, 80), Note(0, Part.STRINGS, 67, 12, 80)), 120.0)


@pytest.fixture
def out(tmp_path, monkeypatch):
    """A folder for results; temporary files go to an empty folder beside it."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    return folder


def _render(folder, score=SHORT, name="piece", **others):
    return Renderer(**others).render(
        score, title="Safety", recipe=("seed:7",), folder=folder, name=name, mood=Mood.DARK, space=Space.DRY
    )


def _assert_nothing_is_left(folder: Path) -> None:
    assert list(folder.iterdir()) == []
    assert list((folder.parent / "scratch").iterdir()) == []
    if Path("/proc/self/task").exists():
        children = "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children"))
        for child in children.split():
            assert "fluidsynth" not in Path(f"/proc/{child}/comm").read_text()


def _assert_one_sentence(error: BaseException) -> None:
    assert str(error).endswith((".", "?"))
    assert "\n" not in str(error)
    assert "Traceback" not in str(error)


# Soundfonts -----------------------------------------------------------------------------------------------------------


def _whole_font() -> bytes:
    """A small, valid SoundFont: the project's own bank."""
    Renderer().check()
    bank = ensure_bank(default_cache())
    return bank.read_bytes()


def _with_junk_inside() -> bytes:
    """Lengths that fit, and lists of presets that mean nothing."""
    info = b"INFOifil\4\0\0\0\2\0\1\0"
    samples = b"sdtasmpl" + struct.pack("<I", 100) + bytes(100)
    lists = b"pdta" + b"".join(
        name + struct.pack("<I", 38) + os.urandom(38) for name in (b"phdr", b"pbag", b"pmod", b"pgen")
    )
    body = b"sfbk" + b"".join(b"LIST" + struct.pack("<I", len(part)) + part for part in (info, samples, lists))
    return b"RIFF" + struct.pack("<I", len(body)) + body


FONTS = {
    "empty": lambda: b"",
    "text": lambda: b"this is not a soundfont at all, only words " * 20,
    "wave": lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(28),
    "header only": lambda: b"RIFF\x04\0\0\0sfbk",
    "no lists": lambda: b"RIFF\x5c\0\0\0sfbk" + bytes(88),
    "cut in half": lambda: _whole_font()[:1_000_000],
    "last byte missing": lambda: _whole_font()[:-1],
    "size of four gigabytes": lambda: b"RIFF\xff\xff\xff\xff" + _whole_font()[8:5000],
    "junk inside": _with_junk_inside,
}


@pytest.mark.parametrize("case", FONTS)
def test_a_bad_soundfont_is_a_setup_problem(case, out, tmp_path):
    path = tmp_path / "font.sf2"
    path.write_bytes(FONTS[case]())
    with pytest.raises(SetupProblem) as caught:
        _render(out, soundfont=path)
    _assert_one_sentence(caught.value)
    _assert_nothing_is_left(out)


@pytest.mark.parametrize("name", ["-F.sf2", "--help.sf2", "with space ü.sf2"])
def test_a_soundfont_with_an_odd_name_plays(name, out, tmp_path, monkeypatch):
    (tmp_path / name).symlink_to(find_soundfont())
    monkeypatch.chdir(tmp_path)
    assert _render(out, soundfont=Path(name)).wav.stat().st_size > 100_000


# FluidSynth -----------------------------------------------------------------------------------------------------------

BINARIES = {
    "not there": (None, SetupProblem),
    "not a program": ("", SetupProblem),
    "exits with 1": ("#!/bin/sh\nexit 1\n", RenderFailed),
    "crashes": ("#!/bin/sh\nkill -SEGV $$\n", RenderFailed),
    "gives nothing": ("#!/bin/sh\nexit 0\n", RenderFailed),
    "gives silence": ("#!/bin/sh\nexec head -c 100000000 /dev/zero\n", RenderFailed),
    "complains of the font": (
        "#!/bin/sh\necho 'fluidsynth: error: Failed to load SoundFont \"x\"' >&2\nhead -c 9000 /dev/zero\n",
        SetupProblem,
    ),
    "complains of something": ("#!/bin/sh\necho 'fluidsynth: error: Unexpected end of file' >&2\n", RenderFailed),
    "gives no numbers": ("#!/bin/sh\nexec tr '\\000' '\\377' </dev/zero\n", RenderFailed),
    "hangs": ("#!/bin/sh\nexec sleep 1000\n", RenderFailed),
    "hangs half way": ("#!/bin/sh\nhead -c 100000 /dev/zero\nexec sleep 1000\n", RenderFailed),
}


@pytest.mark.parametrize("case", BINARIES)
def test_a_broken_synthesiser_is_told(case, out, tmp_path, monkeypatch):
    script, expected = BINARIES[case]
    folder = tmp_path / "bin"
    folder.mkdir()
    if script is not None:
        binary = folder / "fluidsynth"
        binary.write_text(script)
        binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin" if script else f"{folder}")
    monkeypatch.setattr(fluidsynth_module, "_STARTUP_S", -3.5 if case.startswith("hangs") else 20.0)
    with pytest.raises(expected) as caught:
        _render(out)
    _assert_one_sentence(caught.value)
    _assert_nothing_is_left(out)


# Scores ---------------------------------------------------------------------------------------------------------------

REFUSED_SCORES = {
    "no notes": lambda: Score((), 120.0),
    "a hundred million seconds": lambda: Score((Note(0, Part.PAD, 60, 2_400_000_000, 64),), 120.0),
    "a note far away": lambda: Score((Note(10**12, Part.PAD, 60, 1, 64),), 120.0),
    "far too many notes": lambda: Score(tuple(Note(step, Part.BELL, 60, 1, 64) for step in range(200_000)), 240.0),
}
PLAYED_SCORES = {
    "one step": lambda: Score((Note(0, Part.BELL, 60, 1, 64),), 240.0),
    "the lowest and the highest": lambda: Score(
        tuple(sorted(Note(0, part, pitch, 12, 127) for part in Part for pitch in (0, 127))), 120.0
    ),
    "everything at once": lambda: Score(
        tuple(sorted(Note(0, part, pitch, 24, 127) for part in Part for pitch in range(128))), 120.0
    ),
    "as soft as can be": lambda: Score((Note(0, Part.PAD, 60, 48, 1),), 120.0),
    "one pitch again and again": lambda: Score(tuple(Note(s, Part.PLUCK, 60, 9, 99) for s in range(96)), 120.0),
}


@pytest.mark.parametrize("case", REFUSED_SCORES)
def test_a_score_that_cannot_be_played_is_refused(case, out):
    with pytest.raises(RenderFailed) as caught:
        _render(out, REFUSED_SCORES[case]())
    _assert_one_sentence(caught.value)
    _assert_nothing_is_left(out)


@pytest.mark.parametrize("case", PLAYED_SCORES)
def test_an_extreme_score_is_played_without_clipping(case, out):
    rendered = _render(out, PLAYED_SCORES[case]())
    samples = np.frombuffer(rendered.wav.read_bytes()[-40_000:], "<i2")
    assert np.abs(samples.astype(np.int32)).max() < 32_767
    assert math.isfinite(rendered.duration_s)
    assert [path.name for path in out.iterdir()] == ["piece.wav"]


# Folders and names ----------------------------------------------------------------------------------------------------


def test_a_folder_that_is_missing(out):
    with pytest.raises(StorageProblem) as caught:
        _render(out / "missing")
    _assert_one_sentence(caught.value)
    _assert_nothing_is_left(out)


def test_a_folder_that_is_a_file(out, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageProblem):
        _render(tmp_path / "file")
    _assert_nothing_is_left(out)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that nobody may write, root included")
def test_a_folder_that_is_read_only(out):
    with pytest.raises(StorageProblem):
        _render(Path("/proc"))
    _assert_nothing_is_left(out)


def test_a_disk_that_fills_up(out):
    """A limit on the size of files stands in for the end of the disk: the write itself fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_up(percent: int) -> None:
        if percent >= 50:  # FluidSynth's work is done; files of its own are not what is tested
            resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))

    try:
        with pytest.raises(StorageProblem) as caught:
            Renderer().render(SHORT, title="", recipe=(), folder=out, name="piece", mood=Mood.DARK, progress=fill_up)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    _assert_one_sentence(caught.value)
    _assert_nothing_is_left(out)


def test_a_temporary_folder_that_is_missing(out, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(out / "missing"))
    with pytest.raises(StorageProblem, match="temporary folder"):
        _render(out)
    assert list(out.iterdir()) == []


def test_a_cache_that_cannot_be_written(out, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageProblem):
        _render(out, cache=tmp_path / "file")
    _assert_nothing_is_left(out)


@pytest.mark.parametrize("name", ["-F", "--help", "-", "a name with spaces", "Nachtstück ☾", ".hidden"])
def test_odd_names_are_only_names(name, out):
    rendered = _render(out, name=name)
    assert rendered.wav == out / f"{name}.wav"
    assert [path.name for path in out.iterdir()] == [f"{name}.wav"]


def test_a_name_that_is_too_long(out):
    with pytest.raises(StorageProblem):
        _render(out, name="x" * 300)
    _assert_nothing_is_left(out)


@pytest.mark.parametrize("name", ["../escape", "a/b", ""])
def test_a_name_that_is_a_path_is_a_programming_error(name, out):
    with pytest.raises(ValueError, match="plain file name"):
        _render(out, name=name)


# MIDI from outside ----------------------------------------------------------------------------------------------------


def _midi(*events: bytes, division: int = 480, file_format: int = 0, tracks: int = 1) -> bytes:
    body = b"".join(events) + b"\x00\xff\x2f\x00"
    return struct.pack(">4sIHHH4sI", b"MThd", 6, file_format, tracks, division, b"MTrk", len(body)) + body


def _whole_midi() -> bytes:
    return write_midi(SHORT, title="Safety")


NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"
LONG_WAIT = b"\xff\xff\xff\x7f\xb0\x07\x40"
BAD_MIDI = {
    "empty": lambda: b"",
    "text": lambda: b"not MIDI",
    "header alone": lambda: _whole_midi()[:14],
    "cut": lambda: _whole_midi()[:60],
    "zero division": lambda: _midi(NOTE, division=0),
    "video frames": lambda: _midi(NOTE, division=0xE250),
    "format 2": lambda: _midi(NOTE, file_format=2),
    "no notes": _midi,
    "drums only": lambda: _midi(b"\x00\x99\x24\x40\x83\x60\x89\x24\x40"),
    "more tracks than there are": lambda: _midi(NOTE, tracks=9),
    "tempo of zero": lambda: _midi(b"\x00\xff\x51\x03\x00\x00\x00", NOTE),
    "a hundred million seconds": lambda: _midi(b"\x00\x90\x3c\x40", LONG_WAIT * 400, b"\x00\x80\x3c\x40"),
    "a system exclusive that lies": lambda: _midi(b"\x00\xf0\xff\xff\xff\x7f\x01\x02", NOTE),
    "a text that lies": lambda: _midi(b"\x00\xff\x01\xff\xff\xff\x7f", NOTE),
    "a million notes": lambda: _midi(b"\x00\x90\x3c\x40\x01\x80\x3c\x40" * 300_000),
}


@pytest.mark.parametrize("case", BAD_MIDI)
def test_bad_midi_is_refused(case, out, tmp_path):
    path = tmp_path / "-from outside.mid"
    path.write_bytes(BAD_MIDI[case]())
    with pytest.raises((InvalidMidi, RenderFailed)) as caught:
        FluidSynth([find_soundfont()]).midi_to_audio(path, out / "-out.wav")
    _assert_one_sentence(caught.value)
    assert isinstance(caught.value, MusicLSTMError)
    _assert_nothing_is_left(out)


def test_good_midi_is_played(out, tmp_path):
    path = tmp_path / "-good.mid"
    path.write_bytes(_whole_midi())
    for suffix in ("wav", "flac", "ogg"):
        FluidSynth([find_soundfont()]).midi_to_audio(path, out / f"-out.{suffix}")
    assert {file.name for file in out.iterdir()} == {"-out.wav", "-out.flac", "-out.ogg"}


@pytest.mark.parametrize(
    ("number", "remedy"),
    [(errno.EMFILE, "raise the limit"), (errno.EAGAIN, "raise the limit"), (errno.ENOEXEC, "reinstall")],
)
def test_only_a_damaged_synthesiser_is_to_be_reinstalled(out, monkeypatch, number, remedy):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fluidsynth_module.subprocess, "Popen", fail)
    with pytest.raises(SetupProblem, match=remedy):
        _render(out)
    assert list(out.iterdir()) == []
