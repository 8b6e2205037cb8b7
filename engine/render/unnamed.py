"""Sound for listening tests: files in one quality that do not say what they are or where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from engine.errors import RenderFailed
from engine.render.formats import VORBIS_LEVEL
from engine.render.tags import Tags
from engine.render.vorbis import encode_vorbis

_LEVELS = (VORBIS_LEVEL, 0.8, 0.99)  # about 67, 44 and 36 kbit/s


def unnamed(wavs: Sequence[Path], limit_bytes: int) -> list[bytes]:
    """OGG Vorbis of each WAV without title and recipe, all in the best quality in which each fits. Blocks.

    Args:
        wavs: as the renderer writes them.
        limit_bytes: the largest that one may be.

    Raises:
        RenderFailed: one of them is too long.
    """
    with ThreadPoolExecutor(2) as pool:
        for level in _LEVELS:
            encoded = [_encode(wav, level, pool) for wav in wavs]
            if all(len(data) <= limit_bytes for data in encoded):
                return encoded
    raise RenderFailed("These pieces are too long to be posted here: ask for fewer notes or a faster tempo.")


def _encode(wav: Path, level: float, pool: Executor) -> bytes:
    info = soundfile.info(wav)

    def sound(start: int, stop: int) -> npt.NDArray[np.float32]:
        block, _ = soundfile.read(wav, stop - start, start, dtype="float32", always_2d=True)
        return np.asarray(block, np.float32)

    return encode_vorbis(sound, info.frames, info.samplerate, Tags("", ()), level, pool)
