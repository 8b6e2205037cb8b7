"""From what the synthesiser gives to what a listener gets: loudness, peaks, the first and the last moment."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from engine.errors import RenderFailed
from engine.render.loudness import LoudnessMeter, true_peaks

LOUDNESS_LUFS = -16.0  # what streaming services and podcasts play stereo at (AES TD1008)
CEILING_DBTP = -1.0  # room for what Vorbis and Bluetooth codecs add (EBU R 128)
_CHUNK = 64  # frames that share one gain of the limiter, 1.5 ms
_LOOKAHEAD_CHUNKS = 4  # the gain starts to fall 6 ms before a peak
_RELEASE_S = 0.25
_LOUDNESS_ROUNDS = 3  # limiting takes some loudness away, which is then given back

Audio = npt.NDArray[np.float32]


def finish(sound: Audio, sample_rate_hz: int, *, fade_in_s: float = 0.005, fade_out_s: float = 2.0) -> None:
    """Fade the ends, bring the whole to LOUDNESS_LUFS and no peak above CEILING_DBTP, in place.

    Args:
        sound: [n, 2].
        sample_rate_hz: of the sound.
        fade_in_s: just long enough for no click.
        fade_out_s: over the tail.

    Raises:
        RenderFailed: there is nothing to hear.
    """
    _fade(sound, sample_rate_hz, fade_in_s, fade_out_s)
    meter = LoudnessMeter(sample_rate_hz)
    for start in range(0, len(sound), 1 << 18):
        meter.add(sound[start : start + (1 << 18)])
    loudness_lufs = meter.integrated_lufs()
    if math.isinf(loudness_lufs):
        raise RenderFailed("The synthesiser gave only silence for this piece: try another seed.")
    sound *= np.float32(10 ** ((LOUDNESS_LUFS - loudness_lufs) / 20))
    limit(sound, sample_rate_hz)


def limit(sound: Audio, sample_rate_hz: int) -> float:
    """Hold true peaks at CEILING_DBTP, in place.

    Returns:
        the deepest gain reduction in dB, 0.0 when nothing had to be done.
    """
    ceiling = 10 ** (CEILING_DBTP / 20)
    count = -(-len(sound) // _CHUNK)
    peaks = np.zeros(count, np.float32)
    whole = len(sound) // _CHUNK
    np.abs(sound[: whole * _CHUNK].reshape(whole, -1)).max(axis=1, out=peaks[:whole])
    if whole < count:
        peaks[whole] = np.abs(sound[whole * _CHUNK :]).max()
    # Between two samples the wave rises at most a few dB above them: only chunks near the ceiling are oversampled.
    for index in np.flatnonzero(peaks > ceiling * 0.6):
        start = int(index) * _CHUNK
        context = sound[max(0, start - 5) : start + _CHUNK + 7]
        padded = np.zeros((_CHUNK + 12, 2), np.float32)
        padded[max(0, 5 - start) : max(0, 5 - start) + len(context)] = context
        peaks[index] = true_peaks(padded, _CHUNK)[0]
    if not (peaks > ceiling).any():
        return 0.0
    gains = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    held = _held(gains, math.exp(-_CHUNK / sample_rate_hz / _RELEASE_S))
    times = (np.arange(count) + 0.5) * _CHUNK
    for start in range(0, len(sound), 1 << 18):
        stop = min(len(sound), start + (1 << 18))
        sound[start:stop] *= np.interp(np.arange(start, stop), times, held).astype(np.float32)[:, None]
    return float(-20 * math.log10(held.min()))


def _held(gains: npt.NDArray[np.float64], keep: float) -> npt.NDArray[np.float64]:
    """The gain curve: at or below every needed gain and its neighbours', falling early and recovering slowly."""
    reach = _LOOKAHEAD_CHUNKS
    padded = np.pad(gains, reach + 1, constant_values=1.0)  # one more: gains are drawn as lines between chunks
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 3).min(axis=1)
    reduction = (1.0 - lowest).tolist()
    level = 0.0
    for index, wanted in enumerate(reduction):
        level = wanted if wanted > level else level * keep
        reduction[index] = level
    ramp = np.pad(np.array(reduction), reach, mode="edge")
    return 1.0 - np.convolve(ramp, np.full(2 * reach + 1, 1 / (2 * reach + 1)), "valid")


def _fade(sound: Audio, sample_rate_hz: int, fade_in_s: float, fade_out_s: float) -> None:
    frames_in = min(len(sound), round(fade_in_s * sample_rate_hz))
    frames_out = min(len(sound), round(fade_out_s * sample_rate_hz))
    sound[:frames_in] *= np.linspace(0.0, 1.0, frames_in, dtype=np.float32)[:, None]
    fall = np.cos(np.linspace(0.0, np.pi / 2, frames_out)) ** 2
    sound[len(sound) - frames_out :] *= fall.astype(np.float32)[:, None]
