"""The excerpt of a soundfont sounds like the soundfont, and a font that is not understood is used whole."""

import io
import os
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data.midi import write_midi
from data.score import PROGRAMS, Note, Part, Score
from engine.render import Renderer
from engine.render.bank import OWN_PARTS, ensure_bank
from engine.render.excerpt import ensure_excerpt, excerpt_bytes
from engine.render.fluidsynth import FluidSynth, Stem
from engine.render.sf2 import Preset, Sample, sf2_bytes
from engine.render.soundfont import check_soundfont, find_soundfont

GENERAL = [part for part in Part if part not in OWN_PARTS]
PROGRAM_NUMBERS = [PROGRAMS[part] for part in GENERAL]


def _played(font: Path, folder: Path) -> np.ndarray:
    """Every general part over its whole compass, soft and loud, as FluidSynth plays it with this font alone."""
    notes = [Note(6 * step, part, 36 + step, 5, 20 + 2 * step) for part in GENERAL for step in range(48)]
    midi = write_midi(Score(tuple(sorted(notes)), 160.0), title="compass")
    (folder / "compass.mid").write_bytes(midi)
    command = FluidSynth([font]).command(folder / "compass.mid", Stem(midi))
    done = subprocess.run(command, check=True, capture_output=True)
    return np.frombuffer(done.stdout, np.float32)


def test_the_excerpt_sounds_like_the_installed_font(tmp_path):
    font = find_soundfont()
    excerpt = ensure_excerpt(font, PROGRAM_NUMBERS, tmp_path)
    check_soundfont(excerpt)
    assert excerpt != font
    assert excerpt.stat().st_size < 20_000_000
    whole, part = _played(font, tmp_path), _played(excerpt, tmp_path)
    assert whole.shape == part.shape
    # An OGG sample may be rounded otherwise by another version of its decoder: one step of 16 bits.
    assert np.abs(whole - part).max() < 1e-3 * np.abs(whole).max()


def test_an_uncompressed_font_gives_the_very_same_sound(tmp_path):
    """The project's own bank holds no general program, so some of its own are taken out of it."""
    bank = ensure_bank(tmp_path)
    own = sorted(PROGRAMS[part] for part in (Part.PAD, Part.BELL))
    (tmp_path / "some.sf2").write_bytes(excerpt_bytes(bank.read_bytes(), own))
    notes = [Note(12 * step, part, 50 + step, 12, 80) for part in (Part.PAD, Part.BELL) for step in range(30)]
    midi = write_midi(Score(tuple(sorted(notes)), 160.0), title="own")
    (tmp_path / "own.mid").write_bytes(midi)
    whole, part = (
        subprocess.run(
            FluidSynth([font]).command(tmp_path / "own.mid", Stem(midi)), check=True, capture_output=True
        ).stdout
        for font in (bank, tmp_path / "some.sf2")
    )
    assert any(whole)
    assert whole == part


def _font(data: bytes | None = None, rate_hz: int = 22_050) -> bytes:
    """One preset with one looping sine; with `data` in the place of its samples, as an SF3 has them."""
    wave = (0.5 * np.sin(2 * np.pi * 441 * np.arange(5_000) / rate_hz)).astype(np.float32)
    whole = sf2_bytes([Preset("Sine", 48, [Sample("sine", wave, rate_hz, 69, loops=True)])], {"INAM": "test"})
    if data is None:
        return whole
    smpl, shdr, end = whole.index(b"smpl"), whole.index(b"shdr"), len(whole)
    padded = data + bytes(len(data) % 2)
    head = bytearray(whole[shdr + 8 : shdr + 8 + 46])
    struct.pack_into("<IIII", head, 20, 0, len(data), 8, 5_008)
    struct.pack_into("<H", head, 44, 0x11)
    (sdta_bytes,) = struct.unpack_from("<I", whole, smpl - 8)
    pdta = whole[smpl - 12 + 8 + sdta_bytes : shdr + 8] + bytes(head) + whole[shdr + 8 + 46 : end]
    sdta = b"sdta" + b"smpl" + struct.pack("<I", len(padded)) + padded
    body = whole[8 : smpl - 12] + b"LIST" + struct.pack("<I", len(sdta)) + sdta + pdta
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _sample(font: bytes) -> tuple[np.ndarray, tuple[int, ...]]:
    smpl, shdr = font.index(b"smpl"), font.index(b"shdr")
    places = struct.unpack_from("<IIII", font, shdr + 8 + 20)
    return np.frombuffer(font, "<i2", places[1] - places[0], smpl + 8 + 2 * places[0]), places


def test_compressed_samples_are_unpacked_with_their_loops():
    plain, _ = _sample(_font())
    packed = io.BytesIO()
    soundfile.write(packed, plain, 22_050, format="OGG", subtype="VORBIS")
    found, (start, end, loop_start, loop_end) = _sample(excerpt_bytes(_font(packed.getvalue()), [48]))
    assert (start, end, loop_start, loop_end) == (0, len(plain), 8, 5_008)
    assert np.abs(found.astype(float) - plain).max() < 2_000


@pytest.mark.parametrize(
    "font",
    [
        pytest.param(_font(), id="a program is missing"),
        pytest.param(_font()[:-46], id="lists are cut"),
        pytest.param(_font(b"OggS, but no more"), id="a sample is not OGG"),
        pytest.param(b"RIFF\4\0\0\0sfbk", id="nothing in it"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_font_that_is_not_understood_is_used_whole(tmp_path, font, caplog):
    path = tmp_path / "odd.sf2"
    path.write_bytes(font)
    programs = [48, 79] if font == _font() else [48]
    assert ensure_excerpt(path, programs, tmp_path / "cache") == path
    assert "slower" in caplog.text
    assert not list(tmp_path.glob("cache/*"))


def test_without_a_place_for_it_the_font_is_used_whole(tmp_path, caplog):
    font = tmp_path / "font.sf2"
    font.write_bytes(_font())
    assert ensure_excerpt(font, [48], tmp_path / "missing") == font
    assert "slower" in caplog.text


def test_an_excerpt_is_made_once_and_again_when_damaged_or_when_the_font_changed(tmp_path):
    font = tmp_path / "font.sf2"
    font.write_bytes(_font())
    path = ensure_excerpt(font, [48], tmp_path)
    made = path.read_bytes()
    stamp = path.stat().st_mtime_ns
    assert ensure_excerpt(font, [48], tmp_path) == path
    assert path.stat().st_mtime_ns == stamp
    path.write_bytes(made[:100])
    assert ensure_excerpt(font, [48], tmp_path).read_bytes() == made
    font.write_bytes(_font(rate_hz=32_000))
    assert ensure_excerpt(font, [48], tmp_path) != path


def test_what_another_version_left_is_removed_unless_that_may_be_running(tmp_path):
    font, old, recent = tmp_path / "font.sf2", tmp_path / "general-0-old.sf2", tmp_path / "general-1-recent.sf2"
    for path in (font, old, recent):
        path.write_bytes(_font())
    os.utime(old, (0, 0))
    ensure_excerpt(font, [48], tmp_path)
    assert not old.exists()
    assert recent.exists()


def test_the_renderer_plays_the_excerpt(tmp_path):
    general, bank = Renderer(cache=tmp_path)._synth().sound_fonts
    assert general.parent == bank.parent == tmp_path
    assert general.name.startswith("general-")
