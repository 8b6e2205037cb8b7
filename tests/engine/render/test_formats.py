"""What is posted is decided from actual bytes."""

import io

import numpy as np
import pytest
import soundfile

from engine.errors import RenderFailed
from engine.render import fit, read_recipe
from engine.render.formats import resample

TITLE, RECIPE = "Void Harbour", ("seed:7", "checkpoint:v1-00000000")


def test_wav_is_posted_where_it_fits(rendered):
    size = rendered.wav.stat().st_size
    posted = fit(rendered.wav, size)
    assert (posted.kind, posted.content) == ("wav", rendered.wav)
    assert posted.size_bytes == size


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory):
    """Eight seconds that lossless compression can do little with."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.01, (8 * 44_100, 2)), 44_100, "PCM_16")
    return path


@pytest.mark.parametrize(
    ("share", "kind", "suffix"),
    [(0.99, "wav32", ".wav"), (0.7, "flac", ".flac"), (0.4, "ogg", ".ogg"), (0.05, "ogg-low", ".ogg")],
)
def test_smaller_limits_give_smaller_files_that_are_read_back(noise, share, kind, suffix):
    limit_bytes = int(noise.stat().st_size * share)
    posted = fit(noise, limit_bytes, title=TITLE, recipe=RECIPE)
    assert posted.kind == kind
    assert posted.suffix == suffix
    assert posted.size_bytes <= limit_bytes
    with soundfile.SoundFile(io.BytesIO(posted.content)) as file:
        assert file.frames / file.samplerate == pytest.approx(8, abs=0.1)
        assert file.title == TITLE
        assert file.comment == "\n".join(RECIPE)


def test_every_form_carries_the_recipe_of_the_wav(rendered):
    size = rendered.wav.stat().st_size
    kinds = set()
    for limit_bytes in (size, size - 1, size // 3, rendered.wav.stat().st_size // 12):
        posted = fit(rendered.wav, limit_bytes)
        kinds.add(posted.kind)
        assert read_recipe(posted.content) == read_recipe(rendered.wav) is not None
    assert len(kinds) >= 3


def test_an_ogg_that_exists_is_used(rendered, tmp_path):
    ogg = tmp_path / "made.ogg"
    assert fit(rendered.wav, len(rendered.ogg), ogg=ogg).kind.startswith("ogg"), "encoded, since it is not there"
    ogg.write_bytes(rendered.ogg)
    posted = fit(rendered.wav, len(rendered.ogg), ogg=ogg)
    assert (posted.kind, posted.content) == ("ogg", rendered.ogg)


def test_a_limit_that_nothing_meets_is_one_clear_sentence(rendered):
    with pytest.raises(RenderFailed, match=r"too long to be posted here: even a small OGG"):
        fit(rendered.wav, 1000)


def test_resampling_keeps_a_tone():
    seconds = np.arange(44_100 * 2 + 17) / 44_100
    tone = np.sin(2 * np.pi * 1000 * seconds).astype(np.float32)
    out = resample(np.stack([tone, tone], axis=1), 44_100, 32_000)
    expected = np.sin(2 * np.pi * 1000 * np.arange(len(out)) / 32_000)
    assert np.abs(out[2000:-2000, 0] - expected[2000:-2000]).max() < 0.01
