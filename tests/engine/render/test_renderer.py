"""What a listener gets, measured with other people's meters."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pretty_midi
import pyloudnorm
import pytest
import soundfile
from PIL import Image
from scipy.signal import resample_poly

from data.moods import Mood
from data.score import Note, Part, Score
from data.spaces import Space
from engine.errors import Cancelled, RenderFailed
from engine.render import Rendered, Renderer, read_recipe, renderer, vorbis
from tests.engine.render.conftest import KEY

RATE_HZ = 44_100


def _render(folder: Path, score: Score, **others) -> Rendered:
    arguments = {
        "title": "Void Harbour",
        "recipe": ("seed:7",),
        "folder": folder,
        "name": "piece",
        "mood": Mood.DARK,
        "space": Space.DRY,
        "key": KEY,
    }
    return Renderer().render(score, **(arguments | others))


def test_wav_is_as_long_as_the_notes_and_their_tail(rendered, score):
    info = soundfile.info(rendered.wav)
    assert (info.samplerate, info.channels, info.subtype) == (RATE_HZ, 2, "PCM_16")
    assert info.duration == pytest.approx(rendered.duration_s, abs=0.001)
    assert score.duration_s < info.duration < score.duration_s + 20


def test_loudness_is_minus_16_lufs(sound):
    assert pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound) == pytest.approx(-16, abs=0.5)


def test_true_peak_stays_below_minus_1_dbtp(sound):
    assert 20 * np.log10(np.abs(resample_poly(sound, 4, 1, axis=0)).max()) <= -0.95


def test_ends_without_a_click(sound):
    assert np.abs(sound[:3]).max() < 0.01
    assert np.abs(sound[-30:]).max() < 0.001


def test_midi_has_the_notes(rendered, score):
    parsed = pretty_midi.PrettyMIDI(io.BytesIO(rendered.midi))
    assert sum(len(instrument.notes) for instrument in parsed.instruments) == len(score.notes)


def test_roll_is_a_picture(rendered):
    image = Image.open(io.BytesIO(rendered.roll_png))
    assert image.format == "PNG"
    assert image.size == (1100, 620)


def test_same_piece_gives_same_bytes(rendered, score, tmp_path):
    again = _render(
        tmp_path,
        score,
        recipe=("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000"),
    )
    assert again.midi == rendered.midi
    assert again.roll_png == rendered.roll_png
    assert hashlib.sha256(again.wav.read_bytes()).digest() == hashlib.sha256(rendered.wav.read_bytes()).digest()


def test_a_piece_without_title_and_recipe(score, tmp_path):
    rendered = _render(tmp_path, score, title="", recipe=())
    for source in (rendered.midi, rendered.wav, rendered.ogg):
        assert read_recipe(source) == ()


def test_a_very_long_piece_is_kept_on_disk_and_sounds_the_same(rendered, score, tmp_path, monkeypatch):
    monkeypatch.setattr(renderer, "_IN_MEMORY_S", 1.0)
    again = _render(tmp_path, score, recipe=("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000"))
    assert again.wav.read_bytes() == rendered.wav.read_bytes()
    assert again.ogg == rendered.ogg


def test_progress_grows_to_100(score, tmp_path):
    seen: list[int] = []
    _render(tmp_path, score, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-1] == 100


def test_progress_stays_below_100_while_the_sound_is_encoded_oftener_than_once(score, tmp_path, monkeypatch):
    monkeypatch.setattr(vorbis, "_SPLIT_S_MIN", 1.0)
    monkeypatch.setattr(vorbis, "_meeting", lambda *_: None)  # all behind the middle is encoded again
    monkeypatch.setattr(renderer, "_REPORT_S", 0.001)
    seen: list[int] = []
    _render(tmp_path, score, progress=seen.append)
    assert seen == sorted(set(seen))
    assert seen[-2:] == [99, 100]


def test_cancelling_leaves_nothing(score, tmp_path):
    with pytest.raises(Cancelled):
        _render(tmp_path, score, cancelled=lambda: True)
    assert list(tmp_path.iterdir()) == []


def test_a_piece_of_a_hundred_million_seconds_is_refused(tmp_path):
    with pytest.raises(RenderFailed, match="minutes"):
        _render(tmp_path, Score((Note(0, Part.PAD, 60, 2_400_000_000, 64),), 120.0))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are looked up in /proc")
def test_an_interrupt_from_the_terminal_is_not_for_the_synthesiser(score, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getsid", lambda _: os.getppid())  # as in a shell, whatever started this test
    groups = []

    def look(_: int) -> None:
        children = "".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
        synthesisers = [child for child in children if "fluidsynth" in Path(f"/proc/{child}/comm").read_text()]
        groups.extend(os.getpgid(int(child)) for child in synthesisers)

    _render(tmp_path, score, progress=look)
    assert groups
    assert os.getpgid(0) not in groups
