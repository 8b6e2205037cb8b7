"""Splitting a MIDI file of ours into stems: the same music, some of its parts.

The sound is made from the very bytes that a person downloads, so that the two cannot differ.
"""

from __future__ import annotations

import struct
from collections.abc import Collection

from data.score import Part

_END_OF_TRACK = b"\xff\x2f\x00"


def split(midi: bytes, groups: list[Collection[Part]], end_tick: int) -> list[bytes]:
    """One MIDI file for each group of parts.

    Args:
        midi: what `data.midi.write_midi` made: a first track with the tempo, then one track named after each part.
        groups: the parts of each stem.
        end_tick: where each stem ends. FluidSynth stops playing at the end of the last track, so this is what leaves
            time for notes to die away.

    Returns:
        as many files as there are groups; a group without notes gives a file of silence.
    """
    header, first, *parts = _chunks(midi)
    silence = _chunk(b"MTrk", _variable_length(end_tick) + _END_OF_TRACK)
    stems = []
    for group in groups:
        names = {part.name.lower().encode() for part in group}
        chosen = [track for track in parts if _track_name(track) in names]
        tracks = [first, *chosen]
        head = header[:2] + struct.pack(">H", len(tracks) + 1) + header[4:6]
        stems.append(_chunk(b"MThd", head) + b"".join(_chunk(b"MTrk", track) for track in tracks) + silence)
    return stems


def parts_of(midi: bytes) -> set[Part]:
    """The parts that have a track in a file of ours."""
    names = {_track_name(track) for track in _chunks(midi)[2:]}
    return {part for part in Part if part.name.lower().encode() in names}


def ticks_per_beat(midi: bytes) -> int:
    """The division of a file of ours."""
    (division,) = struct.unpack_from(">H", midi, 12)
    return int(division)


def _chunks(midi: bytes) -> list[bytes]:
    bodies, position = [], 0
    while position < len(midi):
        (length,) = struct.unpack_from(">I", midi, position + 4)
        bodies.append(midi[position + 8 : position + 8 + length])
        position += 8 + length
    return bodies


def _chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack(">I", len(body)) + body


def _track_name(track: bytes) -> bytes:
    """The name event, which our writer puts first: 00 FF 03 length text."""
    return track[4 : 4 + track[3]] if track[:3] == b"\x00\xff\x03" else b""


def _variable_length(value: int) -> bytes:
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))
