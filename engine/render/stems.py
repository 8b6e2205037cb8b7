"""Splitting a MIDI file of ours into stems: the same music, some of its parts.

The sound is made from the very bytes that a person downloads, so that the two cannot differ.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from data.midi_bytes import variable_length
from data.score import Part, Score

_END_OF_TRACK = b"\xff\x2f\x00"


# Low sounds, which stay in the middle and nearly dry; everything else goes into the air of the room.
GROUND: frozenset[Part] = frozenset({Part.SUB, Part.DRONE, Part.PULSE})
AIR: frozenset[Part] = frozenset(Part) - GROUND

# How far each part is turned down so that at one velocity the ensemble is balanced, in dB. Measured: three seconds of a
# typical note or chord at velocity 80, K-weighted, with FluidR3_GM and the project's bank; pulse, the quietest, stays.
# Sub and drone are lower than that weighting asks: together they drove the limiter, and the rest became thin.
_TRIM_DB: dict[Part, float] = {
    Part.SUB: 1.5,
    Part.DRONE: 1.0,
    Part.PAD: 2.0,
    Part.STRINGS: 7.5,
    Part.CHOIR: 3.5,
    Part.KEYS: 1.2,
    Part.BELL: 0.5,
    Part.PLUCK: 1.2,
    Part.LEAD: 8.0,
    Part.TEXTURE: 4.0,
    Part.PULSE: 0.0,
}

# Parts with nothing above 9 kHz, measured: the project's own samples at 22 kHz and the drum, which is 85 dB down
# there. They are synthesised at half the rate; what FluidSynth adds at the full rate are images of its interpolation.
DARK: frozenset[Part] = frozenset({Part.SUB, Part.DRONE, Part.PULSE, Part.PAD, Part.CHOIR, Part.TEXTURE})

_RING_S = 1.5  # about how long a note costs after its end
_VOICES: dict[Part, int] = {Part.STRINGS: 2, Part.PULSE: 2}  # stereo samples of the General MIDI font; others cost one
_SPLIT_SHARE = 0.55  # a stem that has more than this of all work keeps the other core waiting


@dataclass(frozen=True, slots=True)
class Group:
    """Parts that are played together.

    Attributes:
        parts: ascending.
        ground: in the middle and nearly dry; else in the air of the room.
        divider: of the sample rate.
    """

    parts: tuple[Part, ...]
    ground: bool
    divider: int


def plan_stems(score: Score) -> list[Group]:
    """Which parts are played together: ground and air, with treble and without, and no stem with most of the work.

    Without the last, one synthesiser would be waited for while the other core has nothing to do.

    Returns:
        one to four groups; the same score always gives the same.
    """
    cost: dict[Part, float] = {}
    for note in score.notes:
        voices = _VOICES.get(note.part, 1) / _divider(note.part)
        cost[note.part] = cost.get(note.part, 0.0) + voices * (score.seconds(note.duration_steps) + _RING_S)
    much = _SPLIT_SHARE * sum(cost.values())
    groups = []
    for kind in (GROUND, AIR & DARK, AIR - DARK):
        parts = [part for part in cost if part in kind]
        shares = _halves(parts, cost) if sum(cost[part] for part in parts) > much else [parts]
        groups += [Group(tuple(sorted(share)), kind is GROUND, _divider(share[0])) for share in shares if share]
    return groups


def _divider(part: Part) -> int:
    return 2 if part in DARK else 1


def _halves(parts: list[Part], cost: dict[Part, float]) -> list[list[Part]]:
    """Two lists that have about equally much to do."""
    loads = [0.0, 0.0]
    lists: list[list[Part]] = [[], []]
    for part in sorted(parts, key=lambda part: (-cost[part], part)):
        lighter = loads.index(min(loads))
        lists[lighter].append(part)
        loads[lighter] += cost[part]
    return lists


def split(midi: bytes, groups: Sequence[Collection[Part]], end_tick: int) -> list[bytes]:
    """One MIDI file for each group of parts, with the parts balanced by expression (CC 11).

    Args:
        midi: what `data.midi.write_midi` made: a first track with the tempo, then one track named after each part.
        groups: the parts of each stem.
        end_tick: where each stem ends. FluidSynth stops playing at the end of the last track, so this is what leaves
            time for notes to die away.

    Returns:
        as many files as there are groups; a part without notes is left out.
    """
    header, first, *rest = _chunks(midi)
    tracks = {_track_name(track): track for track in rest}
    silence = variable_length(end_tick) + _END_OF_TRACK
    stems = []
    for group in groups:
        names = {part: part.name.lower().encode() for part in sorted(group)}
        chosen = [_balanced(tracks[name], _TRIM_DB[part]) for part, name in names.items() if name in tracks]
        bodies = [first, *chosen, silence]
        head = header[:2] + struct.pack(">H", len(bodies)) + header[4:6]
        stems.append(_chunk(b"MThd", head) + b"".join(_chunk(b"MTrk", body) for body in bodies))
    return stems


def _balanced(track: bytes, trim_db: float) -> bytes:
    """Put an expression event behind the name and the program change, which our writer puts first."""
    behind_name = 4 + track[3]
    channel = track[behind_name + 1] & 0x0F
    # Controllers 7 and 11 act by 40 log10(value / 127) dB (General MIDI Level 1, developer guidelines, section 3).
    value = round(127 * 10 ** (-trim_db / 40))
    event = bytes((0, 0xB0 | channel, 11, value))
    # No running status may be broken: what follows the program change has its own status byte.
    behind_program = behind_name + 3
    return track[:behind_program] + event + track[behind_program:]


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
