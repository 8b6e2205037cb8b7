"""The sound of a listening test tells nothing but the music."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine.errors import RenderFailed
from engine.render.audio_file import WavWriter
from engine.render.tags import Tags, read_tags, wav_chunks
from engine.render.unnamed import unnamed


def wav_at(path: Path, seconds: float, title: str) -> Path:
    rng = np.random.default_rng(3)
    with path.open("wb") as file:
        writer = WavWriter(file, 44_100, wav_chunks(Tags(title, (f"checkpoint {title}",)), 44_100))
        writer.write(rng.uniform(-0.3, 0.3, (int(44_100 * seconds), 2)).astype(np.float32))
        writer.finish()
    return path


def test_the_files_name_neither_piece_nor_checkpoint(tmp_path: Path) -> None:
    wavs = [wav_at(tmp_path / f"{name}.wav", 2.0, name) for name in ("Cold Horizon", "Iron Choir")]
    for wav, data in zip(wavs, unnamed(wavs, 10_000_000), strict=True):
        assert read_tags(data) == Tags("", ())
        assert wav.stem.encode() not in data
        assert b"checkpoint" not in data
        assert soundfile.info(io.BytesIO(data)).frames == soundfile.info(wav).frames


def test_both_have_the_quality_in_which_the_longer_one_fits(tmp_path: Path) -> None:
    short, long = (wav_at(tmp_path / f"{seconds}.wav", seconds, "x") for seconds in (2.0, 8.0))
    best = unnamed([short, long], 10_000_000)
    smaller = unnamed([short, long], len(best[1]) - 1)
    assert all(len(low) < len(high) for low, high in zip(smaller, best, strict=True))
    assert len(best[0]) < len(best[1]) - 1  # it would have fitted as it was


def test_what_fits_in_no_quality_is_told(tmp_path: Path) -> None:
    with pytest.raises(RenderFailed, match="fewer notes"):
        unnamed([wav_at(tmp_path / "x.wav", 1.0, "x")], 1000)
