"""A master is as loud as promised, and its blocks cannot be heard."""

import numpy as np
import pyloudnorm
import pytest

from data.spaces import Space
from engine.render import master
from engine.render.loudness import true_peaks
from engine.render.space import CHARACTERS

RATE_HZ = 44_100


def _premaster(seconds: float = 12.0) -> np.ndarray:
    """Swelling noise with strokes far above it, [2, n]: the limiter has work to do."""
    generator = np.random.default_rng(4)
    count = round(seconds * RATE_HZ)
    sound = generator.normal(0, 0.01, (2, count)) * (1.2 + np.sin(np.arange(count) / 30_000))
    sound[:, 20_000::33_333] += 0.4
    return sound.astype(np.float32)


def test_a_master_is_as_loud_as_promised_and_no_louder_at_its_peaks():
    sound = _premaster()
    reduction_db = master.finish(sound, RATE_HZ, CHARACTERS[Space.VOID])
    assert reduction_db > 1
    lufs = pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.T.astype(np.float64))
    assert lufs == pytest.approx(master.LOUDNESS_LUFS, abs=0.3)
    peak = float(true_peaks(np.pad(sound, ((0, 0), (5, 7)))).max())
    assert 20 * np.log10(peak) <= master.CEILING_DBTP + 0.05


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
    assert meter.integrated_loudness(sound.T.astype(np.float64)) == pytest.approx(master.LOUDNESS_LUFS, abs=0.3)


def test_the_balance_is_that_of_the_whole_piece():
    """Sides that take turns every 2.4 s are in balance, whichever stretches are looked at."""
    count = 24 * RATE_HZ
    turns = np.arange(count) // round(2.4 * RATE_HZ) % 2
    noise = np.random.default_rng(4).normal(0, 0.05, count)
    sound = np.stack([noise * (1 - 0.9 * turns), noise * (0.1 + 0.9 * turns)]).astype(np.float32)
    master.finish(sound, RATE_HZ, CHARACTERS[Space.DRY])
    left, right = (float(np.mean(side.astype(np.float64) ** 2)) for side in sound)
    assert 10 * np.log10(left / right) == pytest.approx(0, abs=1.1)
