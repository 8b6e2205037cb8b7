"""From the stems in their room to what a listener gets: the second half of the mastering.

    stems --place--> premaster --finish: gain, movement, saturation, limiter--> master

Loudness is a property of the whole piece, so this starts when the last sample has arrived. A piece is held in memory
once, as 32-bit floats: 85 MB for four minutes.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import RenderFailed
from engine.render.loudness import HOP_S, hop_energies, integrated_lufs, true_peaks
from engine.render.space import Character

LOUDNESS_LUFS = -16.0  # what streaming services and podcasts play stereo at (AES TD1008)
CEILING_DBTP = -1.0  # room for what Vorbis and Bluetooth codecs add (EBU R 128)
BLOCK_FRAMES = 1 << 16  # a quarter of a megabyte a channel: the work on a block stays in the processor's cache
_FADE_IN_S = 0.005  # just long enough for no click
_FADE_OUT_S = 2.5
_CHUNK = 64  # frames that share one gain of the limiter, 1.5 ms; divides BLOCK_FRAMES
_LOOKAHEAD_CHUNKS = 4  # the gain starts to fall 6 ms before a peak
_RELEASE_S = 0.25
_ROUNDS = 5  # limiting takes some loudness away, which is then given back
_ENOUGH_LU = 0.03
_EDGE = 5  # frames that the treble filter looks to each side
_LEVEL_DB = 0.35  # depth of the slow movement of the level
_OPENNESS = 0.2  # how much of the unfiltered sound is heard on average: 0 to twice that, slowly
_KNOT_FRAMES = 1024
_HOPS_AT_ONCE = 16
_CHUNKS_AT_ONCE = 2048
_BALANCE_DB = 1.0  # how much louder one side may be: parts have places on the stage, and one part may have every note
_SAMPLED = 3  # of the premaster, every third stretch is measured: the limiter corrects what that gets wrong
_SILENCE = 1e-13  # mean square before the gain, 40 dB below the softest note that can be asked for

Audio = npt.NDArray[np.float32]
Wave = npt.NDArray[np.float32]


def finish(sound: Audio, rate_hz: int, character: Character) -> float:
    """The second half of the mastering: makes the master of a premaster, in place.

    Args:
        sound: [2, n]; afterwards at LOUDNESS_LUFS, no true peak above CEILING_DBTP.
        rate_hz: of the sound.
        character: of the space: treble, and how far the saturation is driven.

    Returns:
        how far the limiter went, in dB.

    Raises:
        RenderFailed: there is nothing to hear.
    """
    with ThreadPoolExecutor(2) as pool:  # numpy and the FFT work without Python's lock
        return _Finisher(sound, rate_hz, character).run(pool)


class _Finisher:
    """What the steps of `finish` share."""

    def __init__(self, sound: Audio, rate_hz: int, character: Character) -> None:
        self._sound = sound
        self._rate_hz = rate_hz
        self._starts = range(0, sound.shape[1], BLOCK_FRAMES)
        self._peaks = np.zeros(-(-sound.shape[1] // _CHUNK), np.float32)
        self._treble = treble_taps(character.lowpass_hz, rate_hz)
        self._drive = np.float32(0.36 * character.drive**2)
        self._gain = 1.0

    def run(self, pool: ThreadPoolExecutor) -> float:
        """All steps; the deepest reduction of the limiter in dB."""
        sound = self._sound
        hops = _hops(pool, sound, self._rate_hz, every=_SAMPLED).sum(axis=0).astype(np.float64)
        if not hops.max() > _SILENCE:  # all that sounds may lie between the samples
            hops = _hops(pool, sound, self._rate_hz).sum(axis=0).astype(np.float64)
        loudest = float(hops.max())
        if not loudest > _SILENCE:
            raise RenderFailed("The synthesiser gave only silence for this piece: try another seed.")
        # As if the loudest moment were at full scale: the gates are meant for pauses, not for a soft synthesiser.
        premaster_lufs = integrated_lufs(hops / loudest) + 10 * math.log10(loudest)
        self._gain = 10 ** ((LOUDNESS_LUFS - premaster_lufs) / 20)
        before = [sound[:, max(0, start - _EDGE) : start].copy() for start in self._starts]
        behind = [sound[:, start + BLOCK_FRAMES :][:, :_EDGE].copy() for start in self._starts]
        list(pool.map(self._colour, self._starts, before, behind))
        sides = _hops(pool, sound, self._rate_hz)
        trim = _trim(*sides.sum(axis=1).tolist())
        if trim is not None:
            list(pool.map(lambda start: self._balance(start, trim), self._starts))
            sides *= trim * trim
        curve, reduction_db = self._limiter(sides.sum(axis=0).astype(np.float64))
        # Drawn as lines between the middles of the chunks; before the first middle and behind the last one it is even.
        curve = np.pad(curve, 1, mode="edge")
        list(pool.map(lambda start: self._limit(start, curve), self._starts))
        return reduction_db

    def _limit(self, start: int, curve: npt.NDArray[np.float64]) -> None:
        """Apply the gain of the limiter to one block, in place.

        Args:
            start: of the block.
            curve: the gain in the middle of each chunk, and once more at either end.
        """
        block = self._sound[:, start : start + BLOCK_FRAMES]
        first = start // _CHUNK
        gain = _lines(curve[first : first + BLOCK_FRAMES // _CHUNK + 2], _CHUNK)
        block *= gain[_CHUNK // 2 :][: block.shape[1]]

    def _colour(self, start: int, before: Audio, behind: Audio) -> None:
        """Treble, movement, saturation and fades of one block, in place; notes its peaks.

        Args:
            start: of the block.
            before: the frames in front of it as they were.
            behind: those after it.
        """
        block = self._sound[:, start : start + BLOCK_FRAMES]
        frames = block.shape[1]
        level, openness = self._movement(start, frames)
        padded = np.zeros((2, frames + 2 * _EDGE), np.float32)
        padded[:, _EDGE - before.shape[1] : _EDGE] = before
        padded[:, _EDGE : _EDGE + frames] = block
        padded[:, _EDGE + frames : _EDGE + frames + behind.shape[1]] = behind
        dark = np.stack([np.convolve(channel, self._treble, "valid") for channel in padded])
        block -= dark
        block *= openness
        block += dark
        block *= level
        # x / sqrt(1 + k x^2): odd, smooth, and nearly nothing at low level, as tape is.
        bend = block * block
        bend *= self._drive
        bend += np.float32(1)
        np.sqrt(bend, out=bend)
        block /= bend
        self._fade(block, start)
        self._note_peaks(block, start)

    def _balance(self, start: int, trim: npt.NDArray[np.float32]) -> None:
        """Bring the sides of one block into balance, in place."""
        block = self._sound[:, start : start + BLOCK_FRAMES]
        block *= trim
        self._note_peaks(block, start)

    def _note_peaks(self, block: Audio, start: int) -> None:
        frames = block.shape[1]
        magnitude = np.zeros(-(-frames // _CHUNK) * _CHUNK, np.float32)
        np.maximum(np.abs(block[0]), np.abs(block[1]), out=magnitude[:frames])
        peaks = magnitude.reshape(-1, _CHUNK).max(axis=1)
        self._peaks[start // _CHUNK :][: len(peaks)] = peaks

    def _movement(self, start: int, frames: int) -> tuple[Wave, Wave]:
        """Gain and openness of the filter, [frames] each: slow waves whose periods share no multiple."""
        seconds = (start + np.arange(0, frames + _KNOT_FRAMES, _KNOT_FRAMES)) / self._rate_hz
        swell = np.sin(2 * np.pi * seconds / 23.0 + 0.7) + 0.6 * np.sin(2 * np.pi * seconds / 13.7 + 2.1)
        open_ = np.sin(2 * np.pi * seconds / 19.3 + 4.0) + 0.6 * np.sin(2 * np.pi * seconds / 31.1 + 1.3)
        level = self._gain * 10 ** (_LEVEL_DB / 20 * swell / 1.6)
        openness = _OPENNESS * (1 + open_ / 1.6)
        return _lines(level, _KNOT_FRAMES)[:frames], _lines(openness, _KNOT_FRAMES)[:frames]

    def _fade(self, block: Audio, start: int) -> None:
        frames_in = round(_FADE_IN_S * self._rate_hz)
        if start < frames_in:
            part = block[:, : frames_in - start]
            part *= np.arange(start, start + part.shape[1], dtype=np.float32) / frames_in
        total = self._sound.shape[1]
        frames_out = min(total, round(_FADE_OUT_S * self._rate_hz))
        fall_start = total - frames_out
        if start + block.shape[1] > fall_start:
            part = block[:, max(0, fall_start - start) :]
            phase = (np.arange(part.shape[1]) + max(start, fall_start) - fall_start) / frames_out
            part *= (np.cos(phase * np.pi / 2) ** 2).astype(np.float32)

    def _limiter(self, hops: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
        """The gain of each chunk, and the deepest reduction in dB.

        What limiting takes from the loudness is computed from the energies of the meter's hops, without touching the
        sound again, and given back.
        """
        ceiling = 10 ** (CEILING_DBTP / 20)
        correction = 1.0
        curve = np.ones(len(self._peaks))
        exact: dict[int, float] = {}
        for _ in range(_ROUNDS):
            error_lu = LOUDNESS_LUFS - integrated_lufs(hops * self._per_hop(curve, len(hops)) ** 2)
            correction *= 10 ** (error_lu / 20)
            peaks = self._true_peaks(ceiling / correction, exact) * correction
            gains = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
            held = _held(gains, math.exp(-_CHUNK / self._rate_hz / _RELEASE_S)) if (gains < 1).any() else gains
            curve = held * correction
            if abs(error_lu) < _ENOUGH_LU:
                break
        return curve, max(0.0, -20 * math.log10(float(curve.min()) / correction))

    def _true_peaks(self, ceiling: float, exact: dict[int, float]) -> npt.NDArray[np.float64]:
        """The peak of each chunk; between the samples too where that could matter.

        Between two samples a wave rises at most a few dB above them: only chunks near the ceiling are oversampled.

        Args:
            ceiling: linear, before the correction.
            exact: chunk -> peak, what was found before; added to.
        """
        peaks = self._peaks.astype(np.float64)
        wanted = np.array([index for index in np.flatnonzero(peaks > 0.7 * ceiling) if index not in exact], np.int64)
        for batch in np.array_split(wanted, -(-len(wanted) // _CHUNKS_AT_ONCE)) if len(wanted) else ():
            frames = batch[:, None] * _CHUNK + np.arange(-5, _CHUNK + 7)  # [k, chunk and its context]
            inside = (frames >= 0) & (frames < self._sound.shape[1])
            context = self._sound[:, np.where(inside, frames, 0)] * inside  # [2, k, ...]
            found = true_peaks(context.astype(np.float32)).max(axis=0)
            exact.update(zip(batch.tolist(), found.tolist(), strict=True))
        for index, peak in exact.items():
            peaks[index] = max(peaks[index], peak)
        return peaks

    def _per_hop(self, curve: npt.NDArray[np.float64], hops: int) -> npt.NDArray[np.float64]:
        """The gain in the middle of each of the meter's hops."""
        middles = (np.arange(hops) + 0.5) * HOP_S * self._rate_hz / _CHUNK
        return np.asarray(np.interp(middles, np.arange(len(curve)) + 0.5, curve))


def _trim(left: float, right: float) -> npt.NDArray[np.float32] | None:
    """Gains, [2, 1], that leave one side at most _BALANCE_DB louder than the other; None where it is not."""
    if min(left, right) <= 0:
        return None
    lean_db = 10 * math.log10(left / right)
    too_much_db = math.copysign(max(0.0, abs(lean_db) - _BALANCE_DB), lean_db)
    if not too_much_db:
        return None
    return np.array([[10 ** (-too_much_db / 40)], [10 ** (too_much_db / 40)]], np.float32)


def treble_taps(corner_hz: float, rate_hz: int) -> Wave:
    """[2 * _EDGE + 1]: a short symmetric low-pass, about 6 dB down at `corner_hz`."""
    positions = np.arange(-_EDGE, _EDGE + 1)
    taps = np.sinc(2 * corner_hz / rate_hz * positions) * np.cos(np.pi * positions / (2 * _EDGE + 2)) ** 2
    return np.asarray(taps / taps.sum(), np.float32)


def _lines(values: npt.NDArray[Any], every: int) -> Wave:
    """[(k - 1) * every]: straight lines between k values, so many frames apart; a fifth of the time of `interp`."""
    heights = values.astype(np.float32)[:, None]
    ramp = np.arange(every, dtype=np.float32) / np.float32(every)
    return (heights[:-1] + (heights[1:] - heights[:-1]) * ramp).reshape(-1)


def _hops(pool: ThreadPoolExecutor, sound: Audio, rate_hz: int, every: int = 1) -> npt.NDArray[np.float32]:
    """Energies, [2, hops], of the hops of [2, n], or of one stretch in `every`, measured by two threads.

    Every second frame will do: what that folds is treble 55 dB below the rest (docs/sound), and is measured all the
    same, only at another weight.
    """
    half, half_hz = sound[:, ::2], rate_hz // 2
    count = -(-half.shape[1] // round(half_hz * HOP_S))
    starts = range(0, count, _HOPS_AT_ONCE * every)
    return np.concatenate(
        list(pool.map(lambda start: hop_energies(half, half_hz, start, min(count, start + _HOPS_AT_ONCE)), starts)),
        axis=1,
    )


def _held(gains: npt.NDArray[np.float64], keep: float) -> npt.NDArray[np.float64]:
    """The gain curve: at or below every needed gain and its neighbours', falling early and recovering slowly."""
    reach = _LOOKAHEAD_CHUNKS
    padded = np.pad(gains, reach + 1, constant_values=1.0)  # one more: gains are drawn as lines between chunks
    lowest = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 3).min(axis=1)
    # r[n] = max(wanted[n], keep * r[n - 1]): as logarithms, after what would have decayed is added, a running maximum.
    decayed = np.arange(len(lowest)) * -math.log(keep)
    reduction = np.exp(np.maximum.accumulate(np.log(np.maximum(1.0 - lowest, 1e-12)) + decayed) - decayed)
    ramp = np.pad(reduction, reach, mode="edge")
    return np.asarray(1.0 - np.convolve(ramp, np.full(2 * reach + 1, 1 / (2 * reach + 1)), "valid"))
