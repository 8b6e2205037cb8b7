"""What is written into every file so that it can be told what it is, and be made again: title, recipe, licence.

| file | title | recipe, one line each | licence | sign that it is ours |
|---|---|---|---|---|
| MIDI | name of the first track | text events | in the signature | the last text event |
| WAV | INFO `INAM` | INFO `ICMT` | INFO `ICOP` | INFO `ISFT` |
| FLAC, OGG | comment `TITLE` | comment `COMMENT` | comment `LICENSE` | comment `SOFTWARE` or `ENCODER` |

Reading walks headers only, in Python, within bounds, and hands nothing that was uploaded to a decoder.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import soundfile

from data.errors import InvalidMidi
from data.midi import MAX_BYTES, read_midi

PROGRAM = "MusicLSTM"
LICENCE = "CC0-1.0"  # nobody holds rights in what the program makes; both soundfonts allow any use of the sound
SIGNATURE = f"made with {PROGRAM}, licence {LICENCE}"
_LARGEST_HEADER_BYTES = 1 << 18  # comments of ours have a few hundred bytes
_CHUNKS_MAX = 64


@dataclass(frozen=True, slots=True)
class Tags:
    """What a file of ours says about itself."""

    title: str
    recipe: tuple[str, ...]


def midi_texts(recipe: Sequence[str]) -> list[str]:
    """The text events of a MIDI file of ours."""
    return [*recipe, SIGNATURE]


def wav_info(tags: Tags) -> dict[str, str]:
    """The RIFF INFO entries of a WAV of ours."""
    return {"INAM": tags.title, "ICMT": "\n".join(tags.recipe), "ICOP": LICENCE, "ISFT": PROGRAM}


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
        return _from_info(dict(_wav_entries(file)))
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


def _from_info(entries: dict[bytes, str]) -> Tags | None:
    if not entries.get(b"ISFT", "").startswith(PROGRAM):
        return None
    return Tags(entries.get(b"INAM", ""), _lines(entries.get(b"ICMT", "")))


def _wav_entries(file: IO[bytes]) -> Iterator[tuple[bytes, str]]:
    """The entries of the INFO list, wherever it stands among the chunks."""
    for _ in range(_CHUNKS_MAX):
        head = file.read(8)
        if len(head) < 8:
            return
        name, length = struct.unpack("<4sI", head)
        if name != b"LIST" or length > _LARGEST_HEADER_BYTES:
            file.seek(length + length % 2, io.SEEK_CUR)
            continue
        body = file.read(length + length % 2)
        position = 4
        while body[:4] == b"INFO" and position + 8 <= len(body):
            entry, size = struct.unpack_from("<4sI", body, position)
            text = body[position + 8 : position + 8 + size].split(b"\0")[0]
            yield entry, text.decode("utf-8", "replace")
            position += 8 + size + size % 2


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
