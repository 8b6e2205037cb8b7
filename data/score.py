"""Note and Score: music on an integer grid of time steps, before tokens and before MIDI.

Every time is in steps: `STEPS_PER_BEAT` steps to a quarter note, so that triplets and sixteenths are both exact. Only
`Score.tempo_bpm` connects steps to seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

STEPS_PER_BEAT = 12  # divides by 3 and by 4: eighth triplets (4 steps) and sixteenths (3 steps)
STEPS_PER_BAR = 4 * STEPS_PER_BEAT

TEMPO_BPM_MIN, TEMPO_BPM_MAX = 30, 240


class Part(IntEnum):
    """The ensemble. A part is one MIDI channel and one sound. The order is the model's part index: append only."""

    SUB = 0  # bass notes
    DRONE = 1  # very long low notes
    PAD = 2  # sustained synthesiser chords
    STRINGS = 3
    CHOIR = 4
    KEYS = 5  # piano and electric piano
    BELL = 6  # mallets, glass, celesta
    PLUCK = 7  # harp, guitar, arpeggios
    LEAD = 8  # a single melodic voice: winds, brass, synthesiser
    TEXTURE = 9  # effects and granular sounds
    PULSE = 10  # pitched drums: taiko, timpani, toms


PROGRAMS: dict[Part, int] = {
    # General MIDI 1 program numbers, 0-based, used when a score is written as MIDI.
    Part.SUB: 38,  # Synth Bass 1
    Part.DRONE: 95,  # Pad 8 (sweep)
    Part.PAD: 89,  # Pad 2 (warm)
    Part.STRINGS: 48,  # String Ensemble 1
    Part.CHOIR: 52,  # Choir Aahs
    Part.KEYS: 4,  # Electric Piano 1
    Part.BELL: 98,  # FX 3 (crystal)
    Part.PLUCK: 46,  # Orchestral Harp
    Part.LEAD: 79,  # Ocarina: the purest of the leads
    Part.TEXTURE: 99,  # FX 4 (atmosphere)
    Part.PULSE: 116,  # Taiko Drum
}

_FAMILY_PARTS: tuple[Part, ...] = (
    # General MIDI 1 groups its programs in sixteen families of eight, in this order.
    Part.KEYS,  # 0 piano
    Part.BELL,  # 8 chromatic percussion
    Part.PAD,  # 16 organ
    Part.PLUCK,  # 24 guitar
    Part.SUB,  # 32 bass
    Part.STRINGS,  # 40 strings
    Part.STRINGS,  # 48 ensemble
    Part.LEAD,  # 56 brass
    Part.LEAD,  # 64 reed
    Part.LEAD,  # 72 pipe
    Part.LEAD,  # 80 synth lead
    Part.PAD,  # 88 synth pad
    Part.TEXTURE,  # 96 synth effects
    Part.PLUCK,  # 104 ethnic
    Part.PULSE,  # 112 percussive
    Part.TEXTURE,  # 120 sound effects
)
_EXCEPTIONS: dict[int, Part] = {
    45: Part.PLUCK,  # pizzicato strings
    46: Part.PLUCK,  # harp
    47: Part.PULSE,  # timpani
    52: Part.CHOIR,
    53: Part.CHOIR,
    54: Part.CHOIR,
    91: Part.CHOIR,  # choir pad
    95: Part.DRONE,  # sweep pad: what Part.DRONE is written as
    98: Part.BELL,  # crystal: what Part.BELL is written as
    112: Part.BELL,  # tinkle bell
}


def part_of_program(program: int) -> Part:
    """The part that plays a General MIDI program (0-127). `part_of_program(PROGRAMS[p]) == p` for every part."""
    return _EXCEPTIONS.get(program, _FAMILY_PARTS[program // 8])


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """One note. The field order is the sort order of a score and of its tokens."""

    start_step: int  # >= 0, steps from the start of the piece
    part: Part
    pitch: int  # MIDI note number 0-127, 60 is middle C
    duration_steps: int  # >= 1
    velocity: int  # 1-127

    @property
    def end_step(self) -> int:
        """First step at which the note no longer sounds."""
        return self.start_step + self.duration_steps


@dataclass(frozen=True, slots=True)
class Score:
    """A piece: notes in ascending order and one tempo.

    Raises:
        ValueError: notes out of order or out of range; a score is made by code, so this is a programming error.
    """

    notes: tuple[Note, ...]
    tempo_bpm: float  # quarter notes a minute, TEMPO_BPM_MIN-TEMPO_BPM_MAX

    def __post_init__(self) -> None:
        if not TEMPO_BPM_MIN <= self.tempo_bpm <= TEMPO_BPM_MAX:
            raise ValueError(f"tempo {self.tempo_bpm} is outside {TEMPO_BPM_MIN}-{TEMPO_BPM_MAX}")
        previous: Note | None = None
        for note in self.notes:
            if not (
                0 <= note.pitch <= 127
                and 1 <= note.velocity <= 127
                and note.duration_steps >= 1
                and note.start_step >= 0
            ):
                raise ValueError(f"not a playable note: {note}")
            if previous is not None and note < previous:
                raise ValueError("notes must be in ascending order")
            previous = note

    @property
    def end_step(self) -> int:
        """First step at which nothing sounds any more; 0 for an empty score."""
        return max((note.end_step for note in self.notes), default=0)

    @property
    def duration_s(self) -> float:
        """Seconds from the first step to `end_step`, without any reverberation."""
        return self.seconds(self.end_step)

    def seconds(self, steps: int) -> float:
        """Steps converted to seconds at this score's tempo."""
        return steps * 60.0 / (self.tempo_bpm * STEPS_PER_BEAT)


def trim_overlaps(notes: tuple[Note, ...]) -> tuple[Note, ...]:
    """Shorten every note that would still sound when the same part strikes the same pitch again.

    On one MIDI channel the first note-off of a pitch ends every note of that pitch, so that an overlap would cut the
    later note short. Of two notes with the same part, pitch and start, the later in order is dropped.

    Args:
        notes: in ascending order.

    Returns:
        the notes in ascending order, no two of one part and pitch overlapping.
    """
    kept: list[Note | None] = []
    sounding: dict[tuple[Part, int], int] = {}  # (part, pitch) -> index of its latest note in `kept`
    for note in notes:
        voice = (note.part, note.pitch)
        index = sounding.get(voice)
        previous = None if index is None else kept[index]
        if previous is not None and index is not None:
            if previous.start_step == note.start_step:
                continue
            if previous.end_step > note.start_step:
                kept[index] = Note(
                    previous.start_step,
                    previous.part,
                    previous.pitch,
                    note.start_step - previous.start_step,
                    previous.velocity,
                )
        sounding[voice] = len(kept)
        kept.append(note)
    return tuple(sorted(note for note in kept if note is not None))
