"""The meters against other people's meters, and the filters that must not be heard."""

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import resample_poly

from engine.render.halfrate import Doubler, Halver
from engine.render.loudness import HOP_S, hop_energies, integrated_lufs, true_peaks

RATE_HZ = 44_100


def _lufs(sound) -> float:
    return integrated_lufs(hop_energies(sound, RATE_HZ, 0, int(sound.shape[1] / RATE_HZ / HOP_S)).sum(axis=0))


def _sounds():
    t = np.arange(12 * RATE_HZ) / RATE_HZ
    generator = np.random.default_rng(5)
    yield "bass", 0.3 * np.sin(2 * np.pi * 45 * t)
    yield "tone", 0.3 * np.sin(2 * np.pi * 997 * t)
    yield "treble", 0.1 * np.sin(2 * np.pi * 6000 * t)
    yield "noise", generator.normal(0, 0.05, len(t))
    yield "pauses", generator.normal(0, 0.05, len(t)) * (np.sin(2 * np.pi * t / 3) > 0)
    yield "quiet end", generator.normal(0, 0.05, len(t)) * np.exp(-t / 2)
    yield "faint", generator.normal(0, 0.0005, len(t))


@pytest.mark.parametrize(("name", "wave"), list(_sounds()), ids=lambda value: value if isinstance(value, str) else "")
def test_loudness_agrees_with_pyloudnorm(name, wave):
    sound = np.stack([wave, 0.7 * wave]).astype(np.float32)
    expected = pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.T.astype(np.float64))
    assert _lufs(sound) == pytest.approx(expected, abs=0.2), name


def test_loudness_of_music_is_the_same_at_half_the_rate():
    t = np.arange(12 * RATE_HZ) / RATE_HZ
    wave = sum(0.1 * np.sin(2 * np.pi * hz * t + hz) for hz in (55, 110, 440, 1320, 5000))
    sound = np.stack([wave, 0.5 * wave]).astype(np.float32)
    half = integrated_lufs(hop_energies(sound[:, ::2], RATE_HZ // 2, 0, 120).sum(axis=0))
    assert half == pytest.approx(_lufs(sound), abs=0.005)
    assert half == pytest.approx(pyloudnorm.Meter(RATE_HZ).integrated_loudness(sound.T.astype(np.float64)), abs=0.1)


def test_silence_has_no_loudness():
    assert _lufs(np.zeros((2, 5 * RATE_HZ), np.float32)) == -np.inf


@pytest.mark.parametrize(("degrees", "seen"), [(45, 0.71), (22.5, 0.93), (67.5, 0.93)])
def test_true_peaks_see_between_the_samples(degrees, seen):
    """A sine at a quarter of the rate, sampled 45 degrees off its peaks: every sample is 3 dB below the wave."""
    phase = np.pi / 2 * np.arange(512) + np.radians(degrees)
    wave = np.sin(phase).astype(np.float32)
    assert np.abs(wave).max() < seen
    assert true_peaks(wave)[()] == pytest.approx(1.0, abs=0.02)


def test_true_peaks_agree_with_oversampling():
    noise = np.random.default_rng(2).normal(0, 0.2, 4096)
    smooth = np.convolve(noise, np.hanning(9) / 4, "same")
    expected = np.abs(resample_poly(smooth, 4, 1)).max()
    assert true_peaks(smooth.astype(np.float32)) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("hz", [60, 440, 3000, 7000])
def test_halved_and_doubled_a_tone_is_only_late(hz):
    wave = np.sin(2 * np.pi * hz * np.arange(40_000) / RATE_HZ).astype(np.float32)
    halve, double = Halver(), Doubler()
    blocks = np.split(wave, [10_000, 10_002, 25_000])  # block borders must not be heard
    out = np.concatenate([double(halve(block)) for block in blocks])
    late = 14
    error = out[200 + late :] - wave[200 : len(out) - late]
    assert np.abs(error).max() < 0.03
