"""Halving and doubling a sample rate in blocks: reverberation has nothing to say above 10 kHz, so it is made at 22 kHz.

Both directions use one half-band filter: a sinc under a Hann window, whose even taps are zero, so that halving costs
eight multiplications a sample and doubling four. Above 14 kHz it is 45 dB down.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_REACH = 7  # full-rate frames to each side
_PAIRS = (_REACH + 1) // 2

Wave = npt.NDArray[np.float32]


def _odd_taps() -> Wave:
    """[8]: the half-band filter at -7, -5, … 5, 7; its middle tap is a half."""
    odd = np.arange(-_REACH, _REACH + 1, 2)
    taps = np.sinc(odd / 2) * np.cos(np.pi * odd / (2 * _REACH + 4)) ** 2
    return np.asarray(taps / taps.sum() / 2, np.float32)


class Halver:
    """Full rate to half rate, for one channel that arrives in blocks of even length; seven frames late."""

    def __init__(self) -> None:
        self._before = np.zeros(2 * _REACH, np.float32)
        self._taps = _odd_taps()

    def __call__(self, wave: Wave) -> Wave:
        """[2 n] -> [n]."""
        joined = np.concatenate([self._before, wave])
        self._before = joined[len(joined) - 2 * _REACH :].copy()
        even = np.ascontiguousarray(joined[0::2])
        odd = np.ascontiguousarray(joined[1::2])
        count = len(wave) // 2
        out = np.convolve(even, self._taps, "valid")[:count]
        out += np.float32(0.5) * odd[_PAIRS - 1 : _PAIRS - 1 + count]
        return out


class Doubler:
    """Half rate to full rate, for one channel that arrives in blocks; seven full-rate frames late."""

    def __init__(self) -> None:
        self._before = np.zeros(_REACH, np.float32)
        self._taps = 2 * _odd_taps()

    def __call__(self, wave: Wave) -> Wave:
        """[n] -> [2 n]."""
        joined = np.concatenate([self._before, wave])
        self._before = joined[len(joined) - _REACH :].copy()
        out = np.empty(2 * len(wave), np.float32)
        out[1::2] = joined[_PAIRS : _PAIRS + len(wave)]
        out[0::2] = np.convolve(joined, self._taps, "valid")
        return out
