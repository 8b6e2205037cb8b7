"""Writing sound so that either a whole file appears or nothing does."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import struct
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from engine.errors import RenderFailed, StorageProblem

_DITHER_FRAMES = 1 << 16
_STALE_S = 86_400.0
_BLOCK_FRAMES = 1 << 15  # libsndfile 1.2 crashes when a whole piece is given to its Vorbis encoder in one call

Audio = npt.NDArray[np.float32]


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file open for writing that takes its name only when the block ends well; nothing is left otherwise.

    Raises:
        StorageProblem: the disk is full, or the folder is missing or read-only.
    """
    path = path.absolute()
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        raise storage_problem(path.parent, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_stale(paths: Iterable[Path]) -> None:
    """Remove what other versions of the program left in a cache, but not of today: one of them may be running."""
    for path in paths:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _STALE_S:
                path.unlink()


def storage_problem(folder: Path, error: OSError) -> StorageProblem:
    """The sentence for an error of the file system."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageProblem(f"The disk that holds {folder} is full: free some space and try again.")
    return StorageProblem(f"{folder} cannot be written ({error.strerror or error}): check that it exists and may be.")


class WavWriter:
    """A 16-bit stereo WAV file in the making.

    Args:
        file: open for writing, seekable.
        sample_rate_hz: of the sound.
        about: further RIFF chunks, whole, see `engine.render.tags.wav_chunks`.
    """

    def __init__(self, file: IO[bytes], sample_rate_hz: int, about: bytes = b"") -> None:
        self._file = file
        self._data_bytes = 0
        self._dither = _dither()
        self._dither_at = 0
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, sample_rate_hz, 4 * sample_rate_hz, 4, 16)
        self._head = b"WAVE" + form + about
        file.write(b"RIFF\0\0\0\0" + self._head + b"data\0\0\0\0")

    def write(self, sound: Audio) -> None:
        """Append [n, 2] float32 in [-1, 1], with triangular dither (Lipshitz, Wannamaker & Vanderkooy 1992)."""
        for start in range(0, len(sound), _DITHER_FRAMES):
            part = sound[start : start + _DITHER_FRAMES]
            samples = np.empty(part.shape, "<i2")
            for channel in range(2):  # one after the other: numpy is ten times slower with rows of two
                scaled = part[:, channel] * np.float32(32767)
                scaled += self._dither[channel, self._dither_at : self._dither_at + len(part)]
                np.rint(scaled, out=scaled)
                np.clip(scaled, -32768, 32767, out=scaled)
                samples[:, channel] = scaled
            self._file.write(samples.data)
            self._data_bytes += samples.nbytes
            self._dither_at = (self._dither_at + len(part)) % _DITHER_FRAMES

    def finish(self) -> None:
        """Write the two sizes that were not known before."""
        self._file.seek(4)
        self._file.write(struct.pack("<I", len(self._head) + 8 + self._data_bytes))
        self._file.seek(8 + len(self._head) + 4)
        self._file.write(struct.pack("<I", self._data_bytes))


def write_audio(path: Path, blocks: Iterable[Audio], sample_rate_hz: int) -> None:
    """Write [n, 2] blocks as WAV, or as FLAC or OGG Vorbis when the suffix says so.

    Raises:
        RenderFailed: every sample is zero.
        StorageProblem: see `atomic`.
    """
    with atomic(path) as file:
        silent = True
        if path.suffix.lower() in {".flac", ".ogg"}:
            import soundfile  # noqa: PLC0415

            subtype = "PCM_16" if path.suffix.lower() == ".flac" else "VORBIS"
            form = path.suffix[1:].upper()
            with soundfile.SoundFile(file, "w", sample_rate_hz, 2, subtype, format=form) as encoder:
                for block in blocks:
                    silent = silent and not block.any()
                    for start in range(0, len(block), _BLOCK_FRAMES):
                        encoder.write(block[start : start + _BLOCK_FRAMES])
        else:
            writer = WavWriter(file, sample_rate_hz)
            for block in blocks:
                silent = silent and not block.any()
                writer.write(block)
            writer.finish()
        if silent:
            raise RenderFailed("The synthesiser gave only silence for this piece: try another seed.")
        file.flush()
        os.fsync(file.fileno())


@functools.cache
def _dither() -> npt.NDArray[np.float32]:
    """[2, 2 * _DITHER_FRAMES]: triangular noise of one step; it repeats each 1.5 s, which is inaudible at -96 dB."""
    generator = np.random.default_rng(16)
    noise = generator.random((_DITHER_FRAMES, 2), np.float32) - generator.random((_DITHER_FRAMES, 2), np.float32)
    return np.concatenate([noise.T, noise.T], axis=1)
