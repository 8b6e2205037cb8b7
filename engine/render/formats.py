"""Which of the possible files is posted, decided from the bytes that it really has.

The order: WAV as it is; WAV at 32 kHz, which loses what lies above 16 kHz and plays everywhere; FLAC, which is lossless
but known to fewer players; OGG Vorbis; OGG Vorbis at lower quality.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import scipy.fft
import soundfile

from engine.errors import RenderFailed
from engine.render.audio_file import WavWriter
from engine.render.tags import Tags, read_tags, set_comments, wav_info
from engine.render.vorbis import encode_vorbis

_log = logging.getLogger(__name__)

Kind = Literal["wav", "wav32", "flac", "ogg", "ogg-low"]
VORBIS_LEVEL = 0.5  # libsndfile's scale, 0 best to 1 smallest: about 130 kbit/s
_LOW_LEVELS = (0.8, 0.99)  # about 80 and 50 kbit/s
_LOW_RATE_HZ = 32_000
_BLOCK_FRAMES = 1 << 16

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A sound file that can be posted.

    Attributes:
        filename: what people see, with the suffix of its format.
        data: the bytes, or None where `path` is to be read instead.
        path: the file that holds them already, or None.
        kind: what it became.
        sentence: what to tell people about the choice; "" where the full WAV is posted.
    """

    filename: str
    data: bytes | None
    path: Path | None
    kind: Kind
    sentence: str

    def size_bytes(self) -> int:
        """How large the attachment is."""
        if self.data is not None:
            return len(self.data)
        assert self.path is not None  # noqa: S101 -- one of the two is set
        return self.path.stat().st_size

    def read(self) -> bytes:
        """The bytes of the attachment."""
        if self.data is not None:
            return self.data
        assert self.path is not None  # noqa: S101 -- one of the two is set
        return self.path.read_bytes()


def fit(
    wav: Path, limit_bytes: int, *, title: str = "", recipe: Sequence[str] = (), ogg: bytes | None = None
) -> Attachment:
    """The best form of a rendered WAV that has at most `limit_bytes`.

    Args:
        wav: 44.1 kHz 16-bit stereo, as the renderer writes it.
        limit_bytes: the largest file that can be posted.
        title: for a WAV that says no title itself.
        recipe: for a WAV that says no recipe itself.
        ogg: the OGG Vorbis of the same piece where it was made already.

    Returns:
        the first of WAV, WAV at 32 kHz, FLAC, OGG Vorbis, OGG Vorbis at lower quality that fits; it carries the title
        and the recipe of the WAV.

    Raises:
        RenderFailed: nothing fits; the sentence says how small it gets.
    """
    if wav.stat().st_size <= limit_bytes:
        return Attachment(wav.name, None, wav, "wav", "")
    sound, rate_hz = soundfile.read(wav, dtype="float32", always_2d=True)
    size = f"{_megabytes(wav.stat().st_size)} MB"
    stem = wav.stem
    tags = read_tags(wav) or Tags(title, tuple(recipe))
    if 44 + len(sound) * _LOW_RATE_HZ // rate_hz * 4 <= limit_bytes:
        data = encode_wav(resample(sound, rate_hz, _LOW_RATE_HZ), _LOW_RATE_HZ, tags)
        if len(data) <= limit_bytes:
            return Attachment(
                f"{stem}-32k.wav", data, None, "wav32", f"The WAV of {size} is too large here, so it is at 32 kHz."
            )
    data = encode_flac(sound, rate_hz, tags)
    if len(data) <= limit_bytes:
        return Attachment(
            f"{stem}.flac", data, None, "flac", f"The WAV of {size} is too large here, so it is a lossless FLAC."
        )
    smallest = len(data)
    for level in (VORBIS_LEVEL, *_LOW_LEVELS):
        reuse = ogg if level == VORBIS_LEVEL else None
        data = reuse or _encode_ogg(sound, rate_hz, tags, level)
        smallest = min(smallest, len(data))
        if len(data) <= limit_bytes:
            low = level != VORBIS_LEVEL
            how = "a lower-quality OGG" if low else "an OGG"
            return Attachment(
                f"{stem}.ogg",
                data,
                None,
                "ogg-low" if low else "ogg",
                f"The WAV of {size} is too large here, so it is {how}.",
            )
    raise RenderFailed(
        f"This piece is too long to be posted here: it has {_megabytes(smallest)} MB even as a small OGG, "
        f"and {_megabytes(limit_bytes)} MB are allowed. Ask for fewer notes or a faster tempo."
    )


def encode_flac(sound: Audio, rate_hz: int, tags: Tags) -> bytes:
    """A 16-bit FLAC in memory."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate_hz, 2, "PCM_16", format="FLAC") as file:
        set_comments(file, tags)
        for start in range(0, len(sound), _BLOCK_FRAMES):
            file.write(sound[start : start + _BLOCK_FRAMES])
    return buffer.getvalue()


def _encode_ogg(sound: Audio, rate_hz: int, tags: Tags, level: float) -> bytes:
    with ThreadPoolExecutor(2) as pool:
        return encode_vorbis(lambda start, stop: sound[start:stop].copy(), len(sound), rate_hz, tags, level, pool)


def encode_wav(sound: Audio, rate_hz: int, tags: Tags) -> bytes:
    """A 16-bit WAV in memory."""
    buffer = io.BytesIO()
    writer = WavWriter(buffer, rate_hz, wav_info(tags))
    writer.write(sound)
    writer.finish()
    return buffer.getvalue()


def resample(sound: Audio, from_hz: int, to_hz: int) -> Audio:
    """Change the sample rate of a whole piece by cutting its spectrum (exact for what lies below the new limit).

    Args:
        sound: [n, 2].
        from_hz: its rate.
        to_hz: the rate wanted.

    Returns:
        [ceil(n * to_hz / from_hz), 2].
    """
    if from_hz == to_hz:
        return sound
    frames = -(-len(sound) * to_hz // from_hz)
    # Whole pieces have unlucky lengths; a second is one both rates divide, and FFTs of its multiples are quick.
    seconds = -(-len(sound) // from_hz) + 1
    out = np.empty((frames, 2), np.float32)
    for channel in range(2):
        padded = np.zeros(seconds * from_hz, np.float32)
        padded[: len(sound)] = sound[:, channel]
        spectrum = scipy.fft.rfft(padded)[: seconds * to_hz // 2 + 1]
        out[:, channel] = scipy.fft.irfft(spectrum, seconds * to_hz)[:frames] * np.float32(to_hz / from_hz)
    return out


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f}"
