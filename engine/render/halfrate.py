"""Halving and doubling a sample rate in blocks: reverberation has nothing to say above 10 kHz, so it is made at 22 kHz.

Both directions use one half-band filter: a sinc under a Hann window, whose even taps are zero, so that halving costs
eight multiplications a sample and doubling four. Above 14 kHz it is 45 dB down.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

_REACH = 7  # full-rate frames to each side
_SHARP_REACH = 19  # for what is heard by itself: 1 dB down at 10 kHz, 25 dB at 12.3 kHz
_TAPS_AT_ONCE = 10  # up to eleven numpy has a quick way, beyond it calls a function for each sample
_PAIRS = (_REACH + 1) // 2

Wave = npt.NDArray[np.float32]
Audio = npt.NDArray[np.float32]


def _odd_taps(reach: int = _REACH) -> Wave:
    """[reach + 1]: the half-band filter at -reach, -reach + 2, … reach; its middle tap is a half."""
    odd = np.arange(-reach, reach + 1, 2)
    taps = np.sinc(odd / 2) * np.cos(np.pi * odd / (2 * reach + 4)) ** 2
    return np.asarray(taps / taps.sum() / 2, np.float32)


def halved(sound: Callable[[int, int], Audio], frames: int) -> Callable[[int, int], Audio]:
    """A sound at half its rate.

    Args:
        sound: gives [stop - start, 2] for (start, stop), 0 <= start <= stop <= frames; quicker where each channel lies
            in one piece.
        frames: length of the sound; of the result, half of it, rounded up.

    Returns:
        the same at half the rate, from any thread, and not late.
    """
    taps = _odd_taps(_SHARP_REACH)

    def half(start: int, stop: int) -> Audio:
        first, last = 2 * start - _SHARP_REACH, 2 * stop + _SHARP_REACH - 1
        block = sound(max(0, first), min(frames, last))
        out = np.empty((stop - start, 2), np.float32)
        for channel in range(2):
            wave = block[:, channel]
            if len(wave) < last - first:  # at either end of the sound
                wave = np.pad(wave, (max(0, -first), max(0, last - frames)))
            odd = np.ascontiguousarray(wave[1::2])[_SHARP_REACH // 2 :][: stop - start]
            even = np.ascontiguousarray(wave[0::2])
            result = np.float32(0.5) * odd
            for tap in range(0, len(taps), _TAPS_AT_ONCE):
                some = taps[tap : tap + _TAPS_AT_ONCE]
                result += np.correlate(even[tap:][: stop - start + len(some) - 1], some, "valid")
            out[:, channel] = result
        return out

    return half


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
