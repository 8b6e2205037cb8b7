"""Which of the possible files is posted, decided from the bytes that it really has.

The order: WAV as it is; WAV at 32 kHz, which loses what lies above 16 kHz and plays everywhere; FLAC, which is lossless
but known to fewer players; OGG Vorbis; OGG Vorbis at lower quality.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import soundfile

from engine.errors import RenderFailed
from engine.render.audio_file import WavWriter
from engine.render.tags import Tags, read_tags, set_comments, wav_chunks
from engine.render.vorbis import encode_ogg

_log = logging.getLogger(__name__)

Kind = Literal["wav", "wav32", "flac", "ogg", "ogg-low"]
VORBIS_LEVEL = 0.5  # libsndfile's scale, 0 best to 1 smallest: about 67 kbit/s
LOW_LEVELS = {0.8: 0.6, 0.99: 0.45}  # about 44 and 36 kbit/s; and a share of the usual OGG that neither goes below
_LOW_RATE_HZ = 32_000
_BLOCK_FRAMES = 1 << 16

Audio = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A sound file that can be posted.

    Attributes:
        kind: what it became.
        suffix: of its file's name.
        content: its bytes, or the file that holds them already.
    """

    kind: Kind
    suffix: str
    content: bytes | Path

    @property
    def size_bytes(self) -> int:
        """How large it is."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


def fit(
    wav: Path, limit_bytes: int, *, title: str = "", recipe: Sequence[str] = (), ogg: Path | None = None
) -> Attachment:
    """The best form of a rendered WAV that has at most `limit_bytes`.

    Args:
        wav: 44.1 kHz 16-bit stereo, as the renderer writes it.
        limit_bytes: the largest file that can be posted.
        title: for a WAV that says no title itself.
        recipe: for a WAV that says no recipe itself.
        ogg: the OGG Vorbis of the same piece, if it was made already and is there.

    Returns:
        the first of WAV, WAV at 32 kHz, FLAC, OGG Vorbis, OGG Vorbis at lower quality that fits; it carries the title
        and the recipe of the WAV.

    Raises:
        RenderFailed: nothing fits.
    """
    if wav.stat().st_size <= limit_bytes:
        return Attachment("wav", ".wav", wav)
    made = ogg.read_bytes() if ogg is not None and ogg.exists() else None
    for form in _smaller_forms(wav, limit_bytes, read_tags(wav) or Tags(title, tuple(recipe)), made):
        if form.size_bytes <= limit_bytes:
            return form
    raise RenderFailed(
        "This piece is too long to be posted here: even a small OGG has more than the {most} MB that are allowed. "
        "Ask for fewer notes or a faster tempo.",
        most=f"{limit_bytes / 1e6:.1f}",
    )


def in_blocks(wav: Path) -> tuple[Callable[[int, int], Audio], int, int]:
    """What reads a WAV from one frame to before another, so that an hour of it takes little memory; frames; rate."""
    info = soundfile.info(wav)

    def sound(start: int, stop: int) -> Audio:
        block, _ = soundfile.read(wav, stop - start, start, dtype="float32", always_2d=True)
        return np.asarray(block, np.float32)

    return sound, info.frames, info.samplerate


def _smaller_forms(wav: Path, limit_bytes: int, tags: Tags, ogg: bytes | None) -> Iterator[Attachment]:
    """From the best form to the smallest."""
    sound, frames, rate_hz = in_blocks(wav)
    if frames * _LOW_RATE_HZ // rate_hz * 4 < limit_bytes:
        low = encode_wav(resample(sound(0, frames), rate_hz, _LOW_RATE_HZ), _LOW_RATE_HZ, tags)
        yield Attachment("wav32", ".wav", low)
    yield Attachment("flac", ".flac", _encode_flac(sound, frames, rate_hz, tags, limit_bytes))
    with ThreadPoolExecutor(2) as pool:
        usual = ogg or encode_ogg(sound, frames, rate_hz, tags, VORBIS_LEVEL, pool)
        yield Attachment("ogg", ".ogg", usual)
        for level, least in LOW_LEVELS.items():
            if least * len(usual) <= limit_bytes:  # else it is not worth minutes of work
                yield Attachment("ogg-low", ".ogg", encode_ogg(sound, frames, rate_hz, tags, level, pool))


def _encode_flac(sound: Callable[[int, int], Audio], frames: int, rate_hz: int, tags: Tags, limit_bytes: int) -> bytes:
    """A 16-bit FLAC in memory; given up, and not whole, as soon as it is larger than the limit."""
    buffer = io.BytesIO()
    with soundfile.SoundFile(buffer, "w", rate_hz, 2, "PCM_16", format="FLAC") as file:
        set_comments(file, tags)
        for start in range(0, frames, _BLOCK_FRAMES):
            file.write(sound(start, min(frames, start + _BLOCK_FRAMES)))
            if buffer.tell() > limit_bytes:
                break
    return buffer.getvalue()


def encode_wav(sound: Audio, rate_hz: int, tags: Tags) -> bytes:
    """A 16-bit WAV in memory."""
    buffer = io.BytesIO()
    writer = WavWriter(buffer, rate_hz, wav_chunks(tags, rate_hz))
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
        spectrum = np.fft.rfft(padded)[: seconds * to_hz // 2 + 1]
        out[:, channel] = np.fft.irfft(spectrum, seconds * to_hz)[:frames] * np.float32(to_hz / from_hz)
    return out
