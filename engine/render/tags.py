"""What is written into every file so that it can be told what it is, and be made again: title, recipe, licence.

| file | title | recipe, one line each | licence | sign that it is ours |
|---|---|---|---|---|
| MIDI | name of the first track | text events | in the signature | the last text event |
| WAV | INFO `INAM` | INFO `ICMT` | INFO `ICOP` | INFO `ISFT` |
| Broadcast Wave, in the same WAV | first line of `bext` description | its other lines | coding history | originator |
| FLAC, OGG | comment `TITLE` | comment `COMMENT` | comment `LICENSE` | comment `SOFTWARE` or `ENCODER` |

Reading walks headers only, in Python, within bounds, and hands nothing that was uploaded to a decoder.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import soundfile

from data.errors import InvalidMidi
from data.midi import MAX_BYTES, read_midi
from engine.render.sf2 import chunk

PROGRAM = "MusicLSTM"
LICENCE = "CC0-1.0"  # nobody holds rights in what the program makes; both soundfonts allow any use of the sound
SIGNATURE = f"made with {PROGRAM}, licence {LICENCE}"
_LARGEST_HEADER_BYTES = 1 << 18  # comments of ours have a few hundred bytes
_CHUNKS_MAX = 64
_DESCRIPTION_BYTES = 256


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file of ours says about itself."""

    title: str
    recipe: tuple[str, ...]


def midi_texts(recipe: Sequence[str]) -> list[str]:
    """The text events of a MIDI file of ours."""
    return [*recipe, SIGNATURE]


def wav_chunks(tags: Tags, rate_hz: int) -> bytes:
    """What a WAV of ours says about itself: a `bext` chunk, which sound editors keep, and an INFO list, for the others.

    Broadcast Wave (EBU Tech 3285, version 1), without date and time, so that the same music has the same bytes.
    """
    description = "\n".join((tags.title, *tags.recipe)).encode()
    reference = hashlib.sha256(description).hexdigest()[:32]
    history = f"A=PCM,F={rate_hz},W=16,M=stereo,T={PROGRAM}; {LICENCE}\r\n"
    fields = (_cut(description), PROGRAM.encode(), reference.encode(), b"", b"", 0, 1, b"")
    bext = struct.pack("<256s32s32s10s8sQH64s190x", *fields) + history.encode() + b"\0"
    entries = {"INAM": tags.title, "ICMT": "\n".join(tags.recipe), "ICOP": LICENCE, "ISFT": PROGRAM}
    info = b"".join(chunk(name.encode(), text.encode() + b"\0") for name, text in entries.items() if text)
    return chunk(b"bext", bext) + chunk(b"LIST", b"INFO" + info)


def _cut(text: bytes) -> bytes:
    """As much as a description holds, without half a character."""
    return text[:_DESCRIPTION_BYTES].decode("utf-8", "ignore").encode()


def set_comments(file: soundfile.SoundFile, tags: Tags) -> None:
    """Set the comments of a FLAC or OGG file that has no samples yet."""
    if tags.title:  # libsndfile refuses empty ones
        file.title = tags.title
    if tags.recipe:
        file.comment = "\n".join(tags.recipe)
    file.license = LICENCE
    file.software = PROGRAM


def read_recipe(source: Path | bytes) -> tuple[str, ...] | None:
    """The recipe in a MIDI, WAV, FLAC or OGG file that this program made; None for any other file.

    Args:
        source: a file or its bytes; anything at all, from anybody.
    """
    tags = read_tags(source)
    return tags.recipe if tags else None


def read_tags(source: Path | bytes) -> Tags | None:
    """Title and recipe of a file that this program made; None for any other file."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return _read(file)
    except (OSError, EOFError, struct.error):
        return None


def _read(file: IO[bytes]) -> Tags | None:
    magic = file.read(12)
    if magic[:4] == b"MThd":
        file.seek(0)
        return _read_midi(file.read(MAX_BYTES + 1))
    if magic[:4] == b"RIFF" and magic[8:] == b"WAVE":
        return _from_wav(file)
    if magic[:4] == b"fLaC":
        file.seek(4)
        return _from_comments(_flac_comments(file))
    if magic[:4] == b"OggS":
        file.seek(0)
        return _from_comments(_ogg_comments(file))
    return None


def _read_midi(data: bytes) -> Tags | None:
    try:
        midi = read_midi(data)
    except InvalidMidi:
        return None
    if not midi.texts or midi.texts[-1] != SIGNATURE:
        return None
    return Tags(midi.title, midi.texts[:-1])


def _from_wav(file: IO[bytes]) -> Tags | None:
    """From the INFO list, else, where an editor dropped that, from the `bext` chunk; wherever they stand."""
    entries: dict[bytes, str] = {}
    broadcast: Tags | None = None
    for _ in range(_CHUNKS_MAX):
        head = file.read(8)
        if len(head) < 8:
            break
        name, length = struct.unpack("<4sI", head)
        if name not in {b"LIST", b"bext"} or length > _LARGEST_HEADER_BYTES:
            file.seek(length + length % 2, io.SEEK_CUR)
            continue
        body = file.read(length + length % 2)
        if name == b"LIST":
            entries |= _info_entries(body)
        else:
            broadcast = _from_bext(body)
    if entries.get(b"ISFT", "").startswith(PROGRAM):
        return Tags(entries.get(b"INAM", ""), _lines(entries.get(b"ICMT", "")))
    return broadcast


def _info_entries(body: bytes) -> dict[bytes, str]:
    entries: dict[bytes, str] = {}
    position = 4
    while body[:4] == b"INFO" and position + 8 <= len(body):
        entry, size = struct.unpack_from("<4sI", body, position)
        text = body[position + 8 : position + 8 + size].split(b"\0")[0]
        entries[entry] = text.decode("utf-8", "replace")
        position += 8 + size + size % 2
    return entries


def _from_bext(body: bytes) -> Tags | None:
    """Only a description that was not cut tells the whole recipe; the reference is its digest."""
    description, originator, reference = (
        part.split(b"\0")[0] for part in struct.unpack_from(f"<{_DESCRIPTION_BYTES}s32s32s", body)
    )
    if originator != PROGRAM.encode() or reference != hashlib.sha256(description).hexdigest()[:32].encode():
        return None
    title, *recipe = description.decode("utf-8", "replace").split("\n")
    return Tags(title, tuple(recipe))


def _flac_comments(file: IO[bytes]) -> bytes:
    """The body of the VORBIS_COMMENT block (FLAC format, METADATA_BLOCK_VORBIS_COMMENT)."""
    for _ in range(_CHUNKS_MAX):
        head = file.read(4)
        if len(head) < 4:
            break
        kind, length = head[0], int.from_bytes(head[1:], "big")
        if kind & 0x7F == 4 and length <= _LARGEST_HEADER_BYTES:
            return file.read(length)
        if kind & 0x80:
            break
        file.seek(length, io.SEEK_CUR)
    return b""


def _ogg_comments(file: IO[bytes]) -> bytes:
    """The body of the second packet, the comment header (Vorbis I specification, section 5; RFC 3533 for the pages)."""
    packets, packet = 0, b""
    for _ in range(_CHUNKS_MAX):
        head = file.read(27)
        if len(head) < 27 or head[:4] != b"OggS":
            break
        for size in file.read(head[26]):
            packet += file.read(size)
            if len(packet) > _LARGEST_HEADER_BYTES:
                return b""
            if size < 255:
                packets += 1
                if packets == 2:
                    return packet[7:] if packet[:7] == b"\x03vorbis" else b""
                packet = b""
    return b""


def _from_comments(body: bytes) -> Tags | None:
    """Read vendor, count and `KEY=value` entries, each behind its length (Vorbis I specification, section 5.2.1)."""
    if not body:
        return None
    (length,) = struct.unpack_from("<I", body, 0)
    position = 4 + length
    (count,) = struct.unpack_from("<I", body, position)
    position += 4
    comments: dict[str, str] = {}
    for _ in range(min(count, _CHUNKS_MAX)):
        (length,) = struct.unpack_from("<I", body, position)
        key, _, value = body[position + 4 : position + 4 + length].decode("utf-8", "replace").partition("=")
        comments[key.upper()] = value
        position += 4 + length
    # libsndfile appends its own name to the program's, and has called the comment both names.
    program = comments.get("SOFTWARE") or comments.get("ENCODER", "")
    if not program.startswith(PROGRAM):
        return None
    return Tags(comments.get("TITLE", ""), _lines(comments.get("COMMENT", "")))


def _lines(text: str) -> tuple[str, ...]:
    return tuple(text.split("\n")) if text else ()
