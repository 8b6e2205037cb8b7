"""Stems into a room: the first half of the mastering, which runs while FluidSynth is still playing.

Convolution by overlap-add with the impulse response of `engine.render.space`, at half the sample rate.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.errors import RenderFailed
from engine.render.halfrate import Doubler, Halver
from engine.render.space import Room
from engine.render.stems import Group

_AHEAD = 4  # blocks that may wait for the room, 7 MB each: while a new one is being made, FluidSynth goes on
_PART_FRAMES = 1 << 16  # a quarter of a megabyte a channel: the work on a part stays in the processor's cache

Audio = npt.NDArray[np.float32]
Wave = npt.NDArray[np.float32]


def place(blocks: Iterable[list[Wave]], groups: Sequence[Group], room: Room, out: Audio) -> None:
    """Put the stems into a room: overlap-add convolution at half the sample rate.

    Args:
        blocks: for each group [n / divider, 2], n = room.hop_frames in all but the last, left and right interleaved.
            The arrays may be used again by their source afterwards.
        groups: what the stems are.
        room: where they sound.
        out: [2, frames], filled.
    """
    halve, double = Halver(), (Doubler(), Doubler())
    tail = np.zeros((2, room.fft_frames), np.float32)  # what earlier blocks still have to say

    def work(mixed: _Mixed, target: Audio) -> None:
        send = mixed.send
        if mixed.bright is not None:
            send += halve(mixed.bright)
        wet = np.fft.irfft(np.fft.rfft(send, room.fft_frames) * room.wet, room.fft_frames)
        wet += tail
        tail[:, : room.fft_frames - len(send)] = wet[:, len(send) :]
        tail[:, room.fft_frames - len(send) :] = 0
        mixed.dark += wet[:, : len(send)]
        middle, side = (doubler(wave) for doubler, wave in zip(double, mixed.dark, strict=True))
        frames = target.shape[1]
        target += middle[:frames]
        target[0] += side[:frames]
        target[1] -= side[:frames]

    # One thread for the room, so that this one goes on emptying FluidSynth's pipes.
    with ThreadPoolExecutor(1) as pool:
        pending: deque[Future[Any]] = deque([pool.submit(lambda: room.wet)])  # a new one takes as long as some blocks
        done = 0
        for block in blocks:
            target = out[:, done : done + room.hop_frames]
            mixed = _mix(block, groups, room.ground_send, target)
            if len(pending) > _AHEAD:
                pending.popleft().result()
            pending.append(pool.submit(work, mixed, target))
            done += room.hop_frames
        for future in pending:
            future.result()


@dataclass(slots=True)
class _Mixed:
    """The stems of one block, added up.

    Attributes:
        dark: [2, half] at half the rate, middle and side of the stems without treble.
        send: [half] at half the rate, what of them goes into the room.
        bright: [2 half] at the full rate, what of the others goes into the room; None where there are no others.
    """

    dark: Audio
    send: Wave
    bright: Wave | None


@np.errstate(invalid="ignore", over="ignore")  # damaged numbers are told as such
def _mix(block: list[Wave], groups: Sequence[Group], ground_send: np.float32, target: Audio) -> _Mixed:
    """Fill `target` [2, n] with the stems that have treble, and give what the room needs of all."""
    half = -(-target.shape[1] // 2)
    mixed = _Mixed(np.zeros((2, half), np.float32), np.zeros(half, np.float32), None)
    target[:] = 0
    for stem, group in zip(block, groups, strict=True):
        if group.divider == 1 and mixed.bright is None:
            mixed.bright = np.zeros(2 * half, np.float32)
        for start in range(0, len(stem), _PART_FRAMES):  # in pieces that stay in the processor's cache
            part = slice(start, start + _PART_FRAMES)
            left, right = stem[part, 0] * np.float32(0.5), stem[part, 1] * np.float32(0.5)
            middle = left + right
            _check_numbers(middle)
            if mixed.bright is not None and group.divider == 1:
                mixed.bright[: len(stem)][part] += middle
                left += left
                right += right
                target[0, part] += left
                target[1, part] += right
                continue
            mixed.dark[0, part] += middle
            if group.ground:  # it has no side: a bass belongs in the middle
                middle *= ground_send
            else:
                left -= right
                mixed.dark[1, part] += left
            mixed.send[part] += middle
    return mixed


def _check_numbers(middle: Wave) -> None:
    """Raise RenderFailed where a sample of either channel was infinite or not a number: one would spread everywhere."""
    if not math.isfinite(middle.sum()):  # finite only where all are; a product would wake the threads of BLAS
        raise RenderFailed("The synthesiser gave a damaged sound for this piece: try another seed.")
