"""Sound for listening tests: files in one quality that do not say what they are or where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from engine.errors import RenderFailed
from engine.render.formats import LOW_LEVELS, VORBIS_LEVEL, in_blocks
from engine.render.tags import Tags
from engine.render.vorbis import encode_vorbis


def unnamed(wavs: Sequence[Path], limit_bytes: int) -> list[bytes]:
    """OGG Vorbis of each WAV without title and recipe, all in the best quality in which each fits. Blocks.

    Args:
        wavs: as the renderer writes them.
        limit_bytes: the largest that one may be.

    Raises:
        RenderFailed: one of them is too long.
    """
    with ThreadPoolExecutor(2) as pool:
        for level in (VORBIS_LEVEL, *LOW_LEVELS):
            encoded = [encode_vorbis(*in_blocks(wav), Tags("", ()), level, pool) for wav in wavs]
            if all(len(data) <= limit_bytes for data in encoded):
                return encoded
    raise RenderFailed("These pieces are too long to be posted here: ask for fewer notes or a faster tempo.")
