"""The sound of a piece beside that of another: log-mel spectra and their distance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from scipy.signal import stft

Floats = npt.NDArray[np.float64]

MEL_BANDS = 64
_WINDOW = 4096
_LOW_HZ, _HIGH_HZ = 30.0, 12_000.0
_FLOOR_DB = -80.0


def log_mel(wav: Path) -> Floats:
    """The log-mel spectrum of a WAV, [MEL_BANDS, frames] float64, dB below its loudest point, at least -80.

    Mel scale after O'Shaughnessy 1987: 2595 log10(1 + f / 700).
    """
    sound, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
    mono = sound.mean(axis=1)
    frequencies, _, spectrum = stft(mono, rate_hz, nperseg=_WINDOW, noverlap=_WINDOW // 2)
    power = mel_filters(frequencies) @ (np.abs(spectrum) ** 2)
    decibels = 10 * np.log10(np.maximum(power, 1e-20))
    clipped: Floats = np.maximum(decibels - decibels.max(), _FLOOR_DB)
    return clipped


def mel_filters(frequencies_hz: Floats) -> Floats:
    """Triangular filters, evenly spaced in mel. [MEL_BANDS, F] float64."""
    low, high = (2595 * np.log10(1 + frequency / 700) for frequency in (_LOW_HZ, _HIGH_HZ))
    edges = np.linspace(low, high, MEL_BANDS + 2)
    centres = 700 * (10 ** (edges / 2595) - 1)
    left, middle, right = (centres[k : k + MEL_BANDS, None] for k in range(3))
    rising, falling = (frequencies_hz - left) / (middle - left), (right - frequencies_hz) / (right - middle)
    filters: Floats = np.clip(np.minimum(rising, falling), 0, None)
    return filters


def distance_db(first: Floats, second: Floats) -> float:
    """Root-mean-square difference of two log-mel spectra over the time that both last, dB."""
    frames = min(first.shape[1], second.shape[1])
    return float(np.sqrt(((first[:, :frames] - second[:, :frames]) ** 2).mean()))
