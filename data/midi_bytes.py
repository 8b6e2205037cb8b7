"""The bytes of a Standard MIDI File: chunks, lengths and text events, without its music.

What is here costs little on any input: it walks lengths, never events, but for those at the start of the first track.
Page numbers refer to "Standard MIDI Files 1.0" (RP-001).
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Iterator
from itertools import islice

from data.errors import InvalidMidi

MAX_TRACKS = 512  # real files have at most a few dozen
MAX_TEXTS = 64
MAX_TEXT_CHARS = 4096


def first_track_body(data: bytes) -> bytes:
    """Walk the chunks by their lengths alone.

    Returns:
        the body of the first track.

    Raises:
        InvalidMidi: the header or a length is wrong.
    """
    if data[:4] != b"MThd":
        raise InvalidMidi("This is not a MIDI file.")
    if len(data) < 14:
        raise InvalidMidi("This MIDI file is truncated: its header is incomplete.")
    header_length, file_format, track_count, division = struct.unpack_from(">IHHH", data, 4)
    if header_length < 6 or file_format > 2:
        raise InvalidMidi("This MIDI file is damaged: its header makes no sense.")
    if file_format == 2:
        raise InvalidMidi("This MIDI file holds several songs (format 2): save one of them as its own file.")
    if division == 0:
        raise InvalidMidi("This MIDI file is damaged: its beats have no length (zero division).")
    if division & 0x8000:
        raise InvalidMidi("This MIDI file counts video frames, not beats: export it with ticks per beat.")
    if track_count > MAX_TRACKS:
        raise InvalidMidi("This MIDI file has {n} tracks: at most {most} can be read.", n=track_count, most=MAX_TRACKS)
    position, tracks, first_track = 8 + header_length, 0, b""
    while tracks < track_count:
        if position + 8 > len(data):
            sentence = "This MIDI file is truncated: it has {n} of its {most} tracks."
            raise InvalidMidi(sentence, n=tracks, most=track_count)
        kind, length = data[position : position + 4], struct.unpack_from(">I", data, position + 4)[0]
        body = position + 8
        if body + length > len(data):
            raise InvalidMidi("This MIDI file is truncated: track {n} ends too early.", n=tracks + 1)
        if kind == b"MTrk":
            if tracks == 0:
                first_track = data[body : body + length]
            tracks += 1
        position = body + length
    return first_track


def title_and_texts(track: bytes) -> tuple[str, tuple[str, ...]]:
    """The track name and the text events that stand at tick 0 of a track's body."""
    title, texts = "", list[str]()
    for kind, payload in islice(_opening_meta_events(track), 16 * MAX_TEXTS):
        text = clean_text(_decode(payload))
        if kind == 0x03 and not title:
            title = text
        elif kind == 0x01 and text and len(texts) < MAX_TEXTS:
            texts.append(text)
    return title, tuple(texts)


def name_first_track(data: bytes, title: str) -> bytes:
    """Put a track name event in front of the first track, which pretty_midi leaves without one."""
    (header_length,) = struct.unpack_from(">I", data, 4)
    track = 8 + header_length
    (track_length,) = struct.unpack_from(">I", data, track + 4)
    text = title.encode()
    event = b"\x00\xff\x03" + variable_length(len(text)) + text
    body = event + data[track + 8 : track + 8 + track_length]
    return data[: track + 4] + struct.pack(">I", len(body)) + body + data[track + 8 + track_length :]


def clean_text(text: str) -> str:
    """Text that can be shown and stored anywhere: no control characters but line ends and tabs, at most 4,096 long."""
    kept = (char for char in text[:MAX_TEXT_CHARS] if char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs"})
    return "".join(kept).strip()


def _opening_meta_events(track: bytes) -> Iterator[tuple[int, bytes]]:
    """Meta events (type, payload) of a track up to its first later tick or the first thing that is not understood."""
    position, status = 0, 0
    while position + 1 < len(track):
        if track[position] != 0:  # a delta time above zero
            return
        position += 1
        byte = track[position]
        if byte == 0xFF and position + 2 < len(track):
            kind = track[position + 1]
            length, position = _read_variable_length(track, position + 2)
            yield kind, track[position : position + length]
            position += length
        elif byte in {0xF0, 0xF7}:
            length, position = _read_variable_length(track, position + 1)
            position += length
        else:
            if byte & 0x80:
                status = byte
                position += 1
            if not 0x80 <= status < 0xF0:
                return
            position += 1 if status & 0xE0 == 0xC0 else 2  # program change and channel pressure have one data byte


def variable_length(value: int) -> bytes:
    """A variable-length quantity: seven bits a byte, the most significant first (RP-001, page 2)."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))


def _read_variable_length(data: bytes, position: int) -> tuple[int, int]:
    """The quantity at `position` and the position behind it; at most four bytes are read."""
    value = 0
    for byte in data[position : position + 4]:
        value = value << 7 | byte & 0x7F
        position += 1
        if not byte & 0x80:
            break
    return value, position


def _decode(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError:
        return payload.decode("latin-1")  # what older programs write
