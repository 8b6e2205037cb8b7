"""OGG Vorbis by two encoders at once, joined without a seam.

libvorbis works on one core at about 120 times the speed of the music, which made it the slowest part of a render: 2.0
of 4.6 CPU seconds for four minutes; at half the rate 1.2. Its packets are windowed blocks of the sound, each decodable
with its neighbours alone, and two encoders with the same settings write the same headers. So one encodes the first half
and some seconds more, the other from the middle on, and the stream changes over at a block that both have cut at the
same samples.

Where blocks are cut is decided by the onsets that an encoder has heard so far: after one in common, both agree. Calm
music may have none for a minute, so each hears two markers behind the middle: 0.6 ms of the highest tone there is, 42
dB down, which nobody hears and the encoder hardly keeps. With them 16 of 16 pieces could be joined, without them 10.
Where all fails, the first encoder goes on to the end.

The pages (RFC 3533) are written anew, with a fixed serial number, so that the same sound gives the same bytes.
"""

from __future__ import annotations

import contextlib
import io
import struct
import zlib
from collections.abc import Callable
from concurrent.futures import Executor, wait
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import soundfile

from engine.render.halfrate import halved
from engine.render.tags import Tags, set_comments

_WRITE_FRAMES = 1 << 15  # libsndfile 1.2 crashes when a whole piece is given to its Vorbis encoder in one call
_OVERLAP_S = 2.2  # how much both encode
_MARKERS_S = (0.8, 1.4)  # behind the middle
_MARKER_HZ_OF_RATE, _MARKER_LEVEL, _MARKER_S = 0.47, 10 ** (-42 / 20), 14 / 22_050
_SPLIT_S_MIN = 24.0  # shorter sound is not worth a second encoder
_ALIGNMENT_FRAMES = 2048  # block boundaries repeat with the long block
_SERIAL = 0x4D4C5354
_PAGE_BYTES = 1 << 14
_REVERSED_BITS = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))

Audio = npt.NDArray[np.float32]


class VorbisWriter:
    """One Vorbis encoder, in memory.

    Args:
        rate_hz: of the sound.
        tags: comments of the file.
        level: libsndfile's scale, 0 best to 1 smallest.
    """

    def __init__(self, rate_hz: int, tags: Tags, level: float) -> None:
        self._buffer = io.BytesIO()
        self._file = soundfile.SoundFile(self._buffer, "w", rate_hz, 2, "VORBIS", format="OGG", compression_level=level)
        try:
            set_comments(self._file, tags)
        except BaseException:
            self.close()
            raise

    def write(self, sound: Audio) -> None:
        """Append [n, 2] float32."""
        for start in range(0, len(sound), _WRITE_FRAMES):
            self._file.write(sound[start : start + _WRITE_FRAMES])

    def packets(self) -> list[bytes]:
        """The packets of the pages that are complete."""
        return _packets(self._buffer.getvalue())

    def finish(self) -> list[bytes]:
        """All packets."""
        self._file.close()
        return self.packets()

    def close(self) -> None:
        """Give the encoder up; libsndfile still writes to the buffer then, so it must not be left to the collector."""
        self._file.close()


def encode_ogg(
    sound: Callable[[int, int], Audio], frames: int, rate_hz: int, tags: Tags, level: float, pool: Executor
) -> bytes:
    """Encode a piece at half its rate, see `encode_vorbis`.

    Of our music what lies above 11 kHz is 55 to 80 dB below the rest (docs/sound), and costs half of the encoding.
    """
    return encode_vorbis(halved(sound, frames), -(-frames // 2), rate_hz // 2, tags, level, pool)


def encode_vorbis(
    sound: Callable[[int, int], Audio], frames: int, rate_hz: int, tags: Tags, level: float, pool: Executor
) -> bytes:
    """Encode a piece, with two threads of `pool` where it is long enough.

    Args:
        sound: gives [stop - start, 2] float32 for (start, stop); called from two threads.
        frames: length of the piece.
        rate_hz: of the sound.
        tags: comments of the file.
        level: libsndfile's scale, 0 best to 1 smallest.
        pool: of at least two threads; libsndfile works without Python's lock.
    """
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(contextlib.closing(VorbisWriter(rate_hz, tags, level)))
        if frames < _SPLIT_S_MIN * rate_hz:
            _feed(first, sound, 0, frames)
            return _pages(_Stream.parse(first.finish()), frames)
        second = stack.enter_context(contextlib.closing(VorbisWriter(rate_hz, tags, level)))
        middle = frames // 2 // _ALIGNMENT_FRAMES * _ALIGNMENT_FRAMES
        overlap_end = min(frames, middle + round(_OVERLAP_S * rate_hz))
        marked = _with_markers(sound, [middle + round(after_s * rate_hz) for after_s in _MARKERS_S], rate_hz)
        halves = [
            pool.submit(_feed, first, marked, 0, overlap_end),
            pool.submit(_feed, second, marked, middle, frames),
        ]
        wait(halves)  # both, also where one fails: their encoders are about to be closed
        for half in halves:
            half.result()
        opening, ending = _Stream.parse(first.packets()), _Stream.parse(second.finish())
        join = _meeting(opening, ending, middle)
        if join is None:
            _feed(first, sound, overlap_end, frames)
            return _pages(_Stream.parse(first.finish()), frames)
        last, following = join
        return _pages(
            _Stream(
                opening.headers,
                opening.audio[: last + 1] + ending.audio[following:],
                opening.centres[: last + 1] + [centre + middle for centre in ending.centres[following:]],
                opening.long,
            ),
            frames,
        )


@dataclass(slots=True)
class _Stream:
    """Packets of one logical stream and where their blocks lie.

    Attributes:
        headers: identification, comment, setup.
        audio: the packets with sound.
        centres: the frame on which each block is centred; decoding it completes the sound up to there.
        long: the block size bits: (frames of a short block, frames of a long block).
    """

    headers: list[bytes]
    audio: list[bytes]
    centres: list[int]
    long: tuple[int, int]

    @classmethod
    def parse(cls, packets: list[bytes]) -> _Stream:
        headers, audio = packets[:3], packets[3:]
        exponents = headers[0][28]  # Vorbis I specification, section 4.2.2
        sizes = (1 << (exponents & 15), 1 << (exponents >> 4))
        centres: list[int] = []
        centre = before = 0
        for packet in audio:
            size = sizes[packet[0] >> 1 & 1]  # libvorbis writes two modes: 0 is short, 1 is long
            centre += (before + size) // 4 if before else 0
            centres.append(centre)
            before = size
        return cls(headers, audio, centres, sizes)


def _meeting(opening: _Stream, ending: _Stream, offset: int) -> tuple[int, int] | None:
    """Where one stream may change into the other.

    Returns:
        the last packet of the opening and the first of the ending, or None where their blocks never agree.
    """
    if opening.headers[0] != ending.headers[0] or opening.headers[2] != ending.headers[2]:
        return None
    places = {centre: index for index, centre in enumerate(opening.centres)}
    # Not the first blocks, with which an encoder finds its feet.
    for index in range(16, len(ending.audio) - 1):
        place = places.get(ending.centres[index] + offset)
        if place is None or place + 1 >= len(opening.audio):
            continue
        # Mode and both neighbours' sizes stand in the first four bits (section 4.3.1): the windows must be the same.
        same = opening.audio[place][0] & 0x0F == ending.audio[index][0] & 0x0F
        if opening.audio[place][0] & 2 == 0:  # a short block does not say what follows it
            same = same and opening.audio[place + 1][0] & 2 == ending.audio[index + 1][0] & 2
        if same:
            return place, index + 1
    return None


def _with_markers(sound: Callable[[int, int], Audio], places: list[int], rate_hz: int) -> Callable[[int, int], Audio]:
    """The same sound with an onset for the encoder at each of the frames `places`."""
    marker_frames = round(_MARKER_S * rate_hz)
    phase = 2 * np.pi * _MARKER_HZ_OF_RATE * np.arange(marker_frames)
    marker = (_MARKER_LEVEL * np.sin(phase)).astype(np.float32)[:, None]

    def marked(start: int, stop: int) -> Audio:
        block = sound(start, stop)
        for place in places:
            first, last = max(start, place), min(stop, place + marker_frames)
            if first < last:
                block[first - start : last - start] += marker[first - place : last - place]
        return block

    return marked


def _feed(writer: VorbisWriter, sound: Callable[[int, int], Audio], start: int, stop: int) -> None:
    for position in range(start, stop, _WRITE_FRAMES):
        writer.write(sound(position, min(stop, position + _WRITE_FRAMES)))


def _packets(data: bytes) -> list[bytes]:
    """Take the pages apart (RFC 3533, section 6); the data is from libsndfile, so it is not doubted."""
    packets, packet, position = [], b"", 0
    while position < len(data):
        count = data[position + 26]
        lacing = data[position + 27 : position + 27 + count]
        position += 27 + count
        length = 0
        for size in lacing:
            length += size
            if size < 255:
                packets.append(packet + data[position : position + length])
                packet, position, length = b"", position + length, 0
        packet += data[position : position + length]
        position += length
    return packets


def _pages(stream: _Stream, frames: int) -> bytes:
    """Put packets into pages: the identification alone, the other headers, then sound (Vorbis I, appendix A)."""
    pages = [_page([stream.headers[0]], 0, 0, 2), _page(stream.headers[1:], 0, 1, 0)]
    waiting: list[bytes] = []
    size = segments = 0
    for index, packet in enumerate(stream.audio):
        waiting.append(packet)
        size += len(packet)
        segments += len(packet) // 255 + 1
        last = index == len(stream.audio) - 1
        following = 0 if last else len(stream.audio[index + 1]) // 255 + 1
        if last or size >= _PAGE_BYTES or segments + following > 255:
            # The position on the last page says where the sound really ends, inside its last block.
            position = frames if last else min(frames, stream.centres[index])
            pages.append(_page(waiting, position, len(pages), 4 if last else 0))
            waiting, size, segments = [], 0, 0
    return b"".join(pages)


def _page(packets: list[bytes], granule: int, number: int, flags: int) -> bytes:
    lacing = b"".join(b"\xff" * (len(packet) // 255) + bytes((len(packet) % 255,)) for packet in packets)
    head = struct.pack("<4sBBqIII", b"OggS", 0, flags, granule, _SERIAL, number, 0)
    page = head + bytes((len(lacing),)) + lacing + b"".join(packets)
    return page[:22] + struct.pack("<I", _crc(page)) + page[26:]


def _crc(page: bytes) -> int:
    """Ogg's checksum: polynomial 0x04C11DB7, most significant bit first, from zero.

    zlib computes the mirrored one, so bytes and result are mirrored here: 300 times faster than a loop.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED_BITS), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
