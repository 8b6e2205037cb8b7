"""Rooms as numbers: impulse responses and the filters around them, all synthesised.

Each is an impulse response from one channel to two: filtered noise that decays at its own rate in each band, a few
early echoes, and, as its first 34 ms, what widens the direct sound.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from data.spaces import Space

Spectrum = npt.NDArray[np.complex64]
Curve = npt.NDArray[np.floating[Any]]

_BANDS_HZ = (125.0, 350.0, 1000.0, 2800.0, 7000.0)  # centres of the bands that decay at their own rate
_FILTER_FRAMES = 1 << 14  # 0.37 s: long enough for a high-pass at 25 Hz
_WET_FROM_HZ = 140.0  # a room that rings below is mud
_WIDE_FROM_HZ = 250.0  # a bass belongs in the middle, its reverberation too
_AIR_FROM_HZ = 75.0  # the lowest note of a cello is at 65 Hz
_WIDTH_FRAMES = 1500  # 34 ms: below that a listener hears one wide sound, above it an echo (Haas 1951)


@dataclass(frozen=True, slots=True)
class Character:
    """What makes a space.

    Attributes:
        decay_s: seconds to fall by 60 dB, at each of _BANDS_HZ.
        predelay_s: before the first reverberation arrives.
        bloom_s: over which the reverberation swells.
        echoes: (seconds, gain) of single reflections before the tail.
        wet: level of the reverberation of the air stem, 1.0 as loud as the direct sound of a held note.
        ground_wet: the same for the ground stem.
        lowpass_hz: where the whole is 3 dB down.
        drive: how far the saturation is driven; 1.0 is a gentle tape.
        width: of the direct sound, 0 to 1.
        tail_s: sound that is kept after the last note has ended.
    """

    decay_s: tuple[float, float, float, float, float]
    predelay_s: float
    bloom_s: float
    echoes: tuple[tuple[float, float], ...]
    wet: float
    ground_wet: float
    lowpass_hz: float
    drive: float
    width: float
    tail_s: float


CHARACTERS: dict[Space, Character] = {
    Space.VOID: Character(
        decay_s=(7.5, 8.5, 7.0, 4.0, 1.8),
        predelay_s=0.045,
        bloom_s=0.35,
        echoes=(),
        wet=1.0,
        ground_wet=0.28,
        lowpass_hz=9_000,
        drive=0.8,
        width=0.45,
        tail_s=9.0,
    ),
    Space.CATHEDRAL: Character(
        decay_s=(4.5, 5.2, 5.0, 3.6, 2.0),
        predelay_s=0.06,
        bloom_s=0.06,
        echoes=((0.019, 0.3), (0.031, 0.25), (0.047, 0.2)),
        wet=0.8,
        ground_wet=0.2,
        lowpass_hz=13_000,
        drive=0.6,
        width=0.4,
        tail_s=7.0,
    ),
    Space.HANGAR: Character(
        decay_s=(3.2, 4.0, 4.2, 3.2, 1.6),
        predelay_s=0.08,
        bloom_s=0.02,
        echoes=((0.083, 0.5), (0.127, 0.4), (0.211, 0.32), (0.343, 0.22)),
        wet=0.7,
        ground_wet=0.2,
        lowpass_hz=11_000,
        drive=1.0,
        width=0.4,
        tail_s=5.5,
    ),
    Space.TAPE: Character(
        decay_s=(1.5, 1.7, 1.5, 0.9, 0.4),
        predelay_s=0.02,
        bloom_s=0.01,
        echoes=((0.017, 0.3),),
        wet=0.42,
        ground_wet=0.1,
        lowpass_hz=7_500,
        drive=2.2,
        width=0.3,
        tail_s=4.0,
    ),
    Space.DRY: Character(
        decay_s=(0.5, 0.5, 0.45, 0.35, 0.25),
        predelay_s=0.008,
        bloom_s=0.0,
        echoes=(),
        wet=0.14,
        ground_wet=0.04,
        lowpass_hz=15_000,
        drive=0.3,
        width=0.25,
        tail_s=3.5,
    ),
}


@dataclass(frozen=True, eq=False)
class Room:
    """A space for overlap-add convolution at half the sample rate. Deterministic: its noise has a fixed seed.

    Attributes:
        character: what makes it.
        rate_hz: the full sample rate.
    """

    character: Character
    rate_hz: int

    @property
    def fft_frames(self) -> int:
        """Size of the transform, at half the rate."""
        return 1 << max(17, (self._impulse_frames - 1).bit_length() + 1)

    @property
    def hop_frames(self) -> int:
        """New frames in each block, at the full rate; even."""
        return 2 * (self.fft_frames - self._impulse_frames + 1)

    @property
    def ground_send(self) -> np.float32:
        """How much of the ground stem is sent into the room; of the air stem, all."""
        return np.float32(self.character.ground_wet / self.character.wet)

    @functools.cached_property
    def wet(self) -> Spectrum:
        """[2, fft_frames / 2 + 1] spectra: what is sent -> middle and side of the result; 0.1 s the first time."""
        half_hz = self.rate_hz // 2
        impulse = _reverberation(self.character, self._impulse_frames, half_hz) * np.float32(self.character.wet)
        width = self.character.width * _width(half_hz)
        impulse[1, : len(width)] += width
        rumble = _below(_AIR_FROM_HZ, half_hz)
        impulse[0, : len(rumble)] -= rumble
        return np.asarray(np.fft.rfft(impulse, self.fft_frames), np.complex64)

    @property
    def _impulse_frames(self) -> int:
        """Length of the impulse response, at half the rate."""
        seconds = max(self.character.decay_s) * 0.92 + self.character.predelay_s
        return round(seconds * (self.rate_hz // 2))


@functools.lru_cache(maxsize=len(CHARACTERS))
def room(space: Space, rate_hz: int) -> Room:
    """The room of a space, one for all pieces.

    Args:
        space: which.
        rate_hz: the full sample rate.
    """
    return Room(CHARACTERS[space], rate_hz)


def _reverberation(character: Character, frames: int, rate_hz: int) -> Curve:
    """[2, frames], middle and side of a stereo impulse response: noise that decays at its own rate in each band.

    Left and right are independent, as in a large room, so the two have equal energy and a mono listener loses 3 dB of
    reverberation and nothing of the music; but for the bass, which is the same in both, and of which nothing is lost.
    """
    t = np.arange(frames, dtype=np.float32) / np.float32(rate_hz)
    generator = np.random.default_rng(1969)
    size = _quick_length(frames)
    hz = np.fft.rfftfreq(size, 1 / rate_hz)
    noise = np.fft.rfft(generator.standard_normal((2, size), dtype=np.float32))
    weights = _band_weights(hz).astype(np.float32)
    tail: Curve = np.zeros((2, frames), np.float32)
    for weight, decay_s in zip(weights, character.decay_s, strict=True):
        tail += np.fft.irfft(noise * weight, size)[:, :frames] * np.exp(t * np.float32(-6.908 / decay_s))
    tail *= np.clip((t - np.float32(character.predelay_s)) / np.float32(max(character.bloom_s, 0.002)), 0, 1) ** 2
    last = round(0.15 * frames)
    tail[:, frames - last :] *= np.cos(np.linspace(0, np.pi / 2, last, dtype=np.float32)) ** 2
    tail /= np.sqrt((tail**2).sum(axis=1, keepdims=True))
    for index, (delay_s, gain) in enumerate(character.echoes):
        # Not points but 4 ms of noise, as a rough wall reflects; alternately from the left and from the right.
        start, length = round(delay_s * rate_hz), round(0.004 * rate_hz)
        burst = generator.standard_normal(length) * np.hanning(length)
        burst *= gain / np.sqrt((burst**2).sum())
        tail[index % 2, start : start + length] += burst * 0.5
        tail[1 - index % 2, start : start + length] += burst * 0.2
    middle_and_side = np.stack([tail[0] + tail[1], tail[0] - tail[1]]) / np.float32(2)
    for wave, from_hz in zip(middle_and_side, (_WET_FROM_HZ, _WIDE_FROM_HZ), strict=True):
        shape = _filter(rate_hz, functools.partial(_wet_magnitude, from_hz, 0.85 * character.lowpass_hz))
        spectrum = np.fft.rfft(wave, 2 * size) * np.fft.rfft(shape, 2 * size).astype(np.complex64)
        wave[:] = np.fft.irfft(spectrum, 2 * size)[:frames]
    return middle_and_side


def _wet_magnitude(from_hz: float, to_hz: float, hz: Curve) -> Curve:
    return _highpass(hz, from_hz) * _lowpass(hz, to_hz)


def _quick_length(least: int) -> int:
    """The smallest length from `least` on without a prime factor above five: FFTs of it are quick."""
    odd: list[int] = [3**threes * 5**fives for threes in range(12) for fives in range(9)]
    return min(factor << (-(-least // factor) - 1).bit_length() for factor in odd)


def _band_weights(hz: Curve) -> Curve:
    """[5, n]: how much each band contributes at each frequency; cross-faded on a logarithmic axis, the sum is one."""
    position = np.interp(np.log2(np.maximum(hz, 1.0)), np.log2(_BANDS_HZ), np.arange(len(_BANDS_HZ)))
    return np.maximum(0.0, 1.0 - np.abs(position - np.arange(len(_BANDS_HZ))[:, None]))


def _width(rate_hz: int) -> Curve:
    """Middle -> side: a short decaying noise without bass.

    What it adds to the left it takes from the right, so the sum of both, which a mono loudspeaker plays, is untouched.
    """
    noise = np.random.default_rng(1971).standard_normal(_WIDTH_FRAMES)
    noise *= np.exp(-np.arange(_WIDTH_FRAMES) / (0.009 * rate_hz))
    spectrum = np.fft.rfft(noise, 4 * _WIDTH_FRAMES)
    hz = np.fft.rfftfreq(4 * _WIDTH_FRAMES, 1 / rate_hz)
    noise = np.fft.irfft(spectrum * _highpass(hz, 300) ** 2)[:_WIDTH_FRAMES]
    return np.asarray(noise / np.sqrt((noise**2).sum()))


def _below(corner_hz: float, rate_hz: int) -> Curve:
    """What two one-pole high-passes in a row take away; subtracted from the direct sound, it makes them.

    Recorded strings and winds carry rumble below their notes, which the loudness would lift into hearing. The ground
    stem is sent here at a quarter of its level and loses 2.5 dB down there, which its balance allows for.
    """
    keep = np.exp(-2 * np.pi * corner_hz / rate_hz)
    once = (1 - keep) * keep ** np.arange(round(0.04 * rate_hz))
    return np.asarray(2 * once - np.convolve(once, once)[: len(once)])


def _filter(rate_hz: int, magnitude: Callable[[Curve], Curve]) -> Curve:
    """A minimum-phase impulse response with this magnitude (folded cepstrum: Oppenheim & Schafer 1989, 12.7)."""
    size = 2 * _FILTER_FRAMES
    hz = np.abs(np.fft.fftfreq(size, 1 / rate_hz))
    cepstrum = np.fft.ifft(np.log(np.maximum(magnitude(hz), 1e-5))).real
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    impulse = np.fft.ifft(np.exp(np.fft.fft(cepstrum))).real[:_FILTER_FRAMES]
    fade = _FILTER_FRAMES // 8
    impulse[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)) ** 2
    return np.asarray(impulse)


def _highpass(hz: Curve, corner_hz: float) -> Curve:
    """Second-order Butterworth magnitude."""
    ratio = (np.maximum(hz, 1e-3) / corner_hz) ** 2
    return np.asarray(ratio / np.sqrt(1 + ratio**2))


def _lowpass(hz: Curve, corner_hz: float) -> Curve:
    """Second-order Butterworth magnitude."""
    return np.asarray(1 / np.sqrt(1 + (hz / corner_hz) ** 4))
