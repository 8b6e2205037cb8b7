"""A master is as loud as promised, and its blocks cannot be heard."""

import numpy as np
import pyloudnorm
import pytest

from data.spaces import Space
from engine.render import master
from engine.render.loudness import true_peaks
from engine.render.space import CHARACTERS

RATE_HZ = 44_100
FADE = [(round(start * RATE_HZ), round(stop * RATE_HZ)) for start, stop in ((3.2, 2.6), (1.5, 1.0), (0.1, 0.001))]


def _premaster(seconds: float = 12.0) -> np.ndarray:
    """Swelling noise with strokes far above it, [2, n]: the limiter has work to do."""
    generator = np.random.default_rng(4)
    count = round(seconds * RATE_HZ)
    sound = generator.normal(0, 0.01, (2, count)) * (1.2 + np.sin(np.arange(count) / 30_000))
    for frame in (20_032, 20_033):  # where a chunk of the limiter begins, and loudest between two samples
        sound[:, frame::33_280] += 0.4
        sound[0, frame + 10_000 :: 33_280] += 0.4
        sound[1, frame + 20_000 :: 33_280] += 0.4
    return sound.astype(np.float32)


def _peak_dbtp(sound: np.ndarray) -> float:
    return 20 * np.log10(float(true_peaks(np.pad(sound, ((0, 0), (5, 7)))).max()))


@pytest.mark.parametrize("gain", [1.0, 1e-3])
def test_a_master_is_as_loud_as_promised_and_no_louder_at_its_peaks(gain):
    sound = _premaster() * np.float32(gain)
    reduction_db = master.finish(sound, RATE_HZ, CHARACTERS[Space.VOID])
    assert reduction_db > 1
    lufs = pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.T.astype(np.float64))
    assert lufs == pytest.approx(-16, abs=0.3)
    assert -1.5 < _peak_dbtp(sound) <= -0.95


def test_a_master_begins_without_a_click_and_fades_over_its_last_seconds():
    sound = _premaster()
    master.finish(sound, RATE_HZ, CHARACTERS[Space.DRY])
    assert not sound[:, 0].any()
    before, middle, end = (float(np.median(np.abs(sound[:, -start:-stop]))) for start, stop in FADE)
    assert before > 1.5 * middle > 20 * end


def test_the_gain_falls_before_a_peak_and_recovers_slowly():
    needed = np.ones(300)
    needed[50] = 0.5
    gain = master._held(needed, float(np.exp(-1 / 100)))
    assert (gain <= needed + 1e-9).all()
    assert 1 > gain[46] > gain[48] > gain[50]
    assert 1 - gain[150] == pytest.approx(0.5 * np.exp(-1), rel=0.1)


def test_a_master_does_not_depend_on_the_size_of_its_blocks(monkeypatch):
    whole, pieces = _premaster(), _premaster()
    master.finish(whole, RATE_HZ, CHARACTERS[Space.TAPE])
    monkeypatch.setattr(master, "BLOCK_FRAMES", 1 << 13)
    master.finish(pieces, RATE_HZ, CHARACTERS[Space.TAPE])
    assert np.abs(whole - pieces).max() < 1e-5


@pytest.mark.parametrize(("lean_db", "left_db"), [(0.0, 0.0), (0.8, 0.8), (-0.8, -0.8), (3.4, 1.0), (-9.0, -1.0)])
def test_one_side_is_hardly_louder_than_the_other(lean_db, left_db):
    sound = _premaster() * np.array([[10 ** (lean_db / 40)], [10 ** (-lean_db / 40)]], np.float32)
    master.finish(sound, RATE_HZ, CHARACTERS[Space.DRY])
    meter = pyloudnorm.Meter(RATE_HZ)
    left, right = (meter.integrated_loudness(side.astype(np.float64)) for side in sound)
    assert left - right == pytest.approx(left_db, abs=0.3)
    assert meter.integrated_loudness(sound.T.astype(np.float64)) == pytest.approx(-16, abs=0.3)
    assert all(-1.5 < _peak_dbtp(side[None]) <= -0.95 for side in sound)


def test_the_balance_is_that_of_the_whole_piece():
    """Sides that take turns every 2.4 s are in balance, whichever stretches are looked at."""
    count = 24 * RATE_HZ
    turns = np.arange(count) // round(2.4 * RATE_HZ) % 2
    noise = np.random.default_rng(4).normal(0, 0.05, count)
    sound = np.stack([noise * (1 - 0.9 * turns), noise * (0.1 + 0.9 * turns)]).astype(np.float32)
    master.finish(sound, RATE_HZ, CHARACTERS[Space.DRY])
    left, right = (float(np.mean(side.astype(np.float64) ** 2)) for side in sound)
    assert 10 * np.log10(left / right) == pytest.approx(0, abs=1.1)
