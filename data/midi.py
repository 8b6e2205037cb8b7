"""MIDI bytes <-> Score.

Writing goes through pretty_midi; reading through symusic, which parses a file in well under a millisecond, after the
header and the chunk lengths have been checked here. Section numbers refer to "Standard MIDI Files 1.0" (RP-001).

    score, title, texts --write_midi--> bytes --read_midi--> MidiFile(score, title, texts, …)
"""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from symusic.core import ScoreTick

from data.errors import InvalidMidi
from data.keys import Key
from data.midi_bytes import MAX_TEXTS, clean_text, first_track_body, name_first_track, title_and_texts
from data.score import (
    PROGRAMS,
    STEPS_PER_BAR,
    STEPS_PER_BEAT,
    TEMPO_BPM_MAX,
    TEMPO_BPM_MIN,
    Note,
    Part,
    Score,
    part_of_program,
    trim_overlaps,
)

_log = logging.getLogger(__name__)

MAX_BYTES = 2 * 1024 * 1024  # the largest of 478 real files has 0.4 MB
MAX_NOTES = 200_000
MAX_DURATION_S = 86_400.0  # a day: 2,000 notes of 16 beats each at the slowest tempo still fit

_TICKS_PER_STEP = 40
_TICKS_PER_BEAT = _TICKS_PER_STEP * STEPS_PER_BEAT  # 480, which every sequencer reads
_MICROSECONDS_PER_MINUTE = 60_000_000
_DEFAULT_TEMPO_US = 500_000  # a file without a tempo event plays at 120 beats a minute (RP-001, page 8)
_RAW_TEMPO_BPM = (3.0, 2000.0)  # a mean outside this is a broken file, not a notation habit

# Where each part sits on the stage: channel volume (CC 7) and pan (CC 10, 64 is the middle). Low parts stay in the
# middle, where a bass belongs on any loudspeaker; the others spread around it.
_STAGE: dict[Part, tuple[int, int]] = {
    Part.SUB: (96, 64),
    Part.DRONE: (92, 64),
    Part.PAD: (88, 54),
    Part.STRINGS: (92, 74),
    Part.CHOIR: (90, 60),
    Part.KEYS: (96, 70),
    Part.BELL: (88, 82),
    Part.PLUCK: (92, 46),
    Part.LEAD: (96, 66),
    Part.TEXTURE: (84, 40),
    Part.PULSE: (100, 64),
}
_PEDALLED = frozenset({Part.KEYS, Part.BELL, Part.PLUCK})  # these decay by themselves; a sustained sound would pile up
_PEDAL_DELAY_STEPS = 1  # the foot goes down just after the new chord is struck, as pianists do


@dataclass(frozen=True, slots=True)
class MidiFile:
    """What `read_midi` found.

    Attributes:
        score: the pitched notes on the grid of steps, overlaps trimmed.
        title: the first track's name, or "".
        texts: the text events at the start of the first track.
    """

    score: Score
    title: str
    texts: tuple[str, ...]


def write_midi(score: Score, *, title: str, texts: Sequence[str] = (), key: Key | None = None) -> bytes:
    """A Standard MIDI File, format 1: one track and channel for each part, never the drum channel.

    The sustain pedal (CC 64) of the parts that decay is changed at each bar and whenever the bass moves, so that
    harmonies do not run into each other. The same arguments always give the same bytes.

    Args:
        score: any score; overlaps of one part and pitch are trimmed.
        title: becomes the name of the first track.
        texts: become text events at the start, for instance the recipe of the piece.
        key: becomes the key signature, by which a notation program sets accidentals; none without it.

    Returns:
        the file. `read_midi(write_midi(s, title="")).score == s` if s has notes, no overlaps, and a tempo of at most
        three decimals.
    """
    import pretty_midi  # noqa: PLC0415 -- takes 0.15 s, which reading and the command line need not pay

    notes = trim_overlaps(score.notes)
    tempo_us = round(_MICROSECONDS_PER_MINUTE / score.tempo_bpm)
    # pretty_midi truncates to whole microseconds a beat; half a microsecond keeps it from truncating one too low.
    file = pretty_midi.PrettyMIDI(
        resolution=_TICKS_PER_BEAT, initial_tempo=_MICROSECONDS_PER_MINUTE / (tempo_us + 0.5), charset="utf-8"
    )
    second_per_step = (tempo_us + 0.5) / 1e6 / STEPS_PER_BEAT
    file.text_events = [pretty_midi.Text(clean_text(text), 0.0) for text in texts[:MAX_TEXTS]]
    if key is not None:  # pretty_midi counts twelve major keys, then twelve minor ones
        file.key_signature_changes = [pretty_midi.KeySignature(key.tonic + 12 * (key.mode == "minor"), 0.0)]
    pedal_steps = _pedal_changes(notes)
    end_step = max((note.end_step for note in notes), default=0)
    for part in sorted({note.part for note in notes}):
        instrument = pretty_midi.Instrument(PROGRAMS[part], name=part.name.lower())
        volume, pan = _STAGE[part]
        changes: list[tuple[int, int, float]] = [(7, volume, 0), (10, pan, 0)]  # controller, value, step
        if part in _PEDALLED:
            for step, next_step in zip(pedal_steps, [*pedal_steps[1:], end_step], strict=True):
                changes.append((64, 127, step + min(_PEDAL_DELAY_STEPS, (next_step - step) / 2)))
                changes.append((64, 0, next_step))
        instrument.control_changes = [
            pretty_midi.ControlChange(number, value, step * second_per_step) for number, value, step in changes
        ]
        instrument.notes = [
            pretty_midi.Note(
                note.velocity, note.pitch, note.start_step * second_per_step, note.end_step * second_per_step
            )
            for note in notes
            if note.part is part
        ]
        file.instruments.append(instrument)
    buffer = io.BytesIO()
    file.write(buffer)
    return name_first_track(buffer.getvalue(), clean_text(title))


def read_midi(data: bytes) -> MidiFile:
    """Read a Standard MIDI File of format 0 or 1 onto the grid of steps.

    The header, the size and the chunk lengths are checked before a parser sees the bytes, so that a hostile file costs
    little. Tempo changes are averaged (beats over seconds); a mean tempo outside the range of a Score is doubled or
    halved until it fits, with the steps, so that every note keeps its time in seconds. Pedal, bends and volume are not
    read; the drum channel is dropped.

    Args:
        data: the whole file, at most MAX_BYTES.

    Returns:
        the score with title and texts.

    Raises:
        InvalidMidi: not a MIDI file, truncated, damaged, empty, or over a limit; the sentence says which.
    """
    if len(data) > MAX_BYTES:
        raise InvalidMidi("This MIDI file is larger than {n} MiB: send a shorter piece.", n=MAX_BYTES // 2**20)
    first_track = first_track_body(data)
    try:
        parsed = ScoreTick.from_midi(data)
        tracks = [(track.program, track.is_drum, track.notes.numpy()) for track in parsed.tracks]
        changes = parsed.tempos.numpy()
        tempos = sorted(zip(changes["time"].tolist(), changes["mspq"].tolist(), strict=True))
    except (RuntimeError, ValueError, MemoryError) as error:
        _log.info("symusic refuses the file: %s", error)
        raise InvalidMidi("This MIDI file is damaged: open it in a music program and export it again.") from error
    note_count = sum(len(columns["time"]) for _, _, columns in tracks)
    if note_count > MAX_NOTES:
        raise InvalidMidi(
            "This MIDI file has {n} notes: at most {most} can be read.", n=f"{note_count:,}", most=f"{MAX_NOTES:,}"
        )
    pitched = [(program, columns) for program, is_drum, columns in tracks if not is_drum and len(columns["time"])]
    if not pitched:
        if note_count:
            raise InvalidMidi("This MIDI file has no notes besides drums.")
        raise InvalidMidi("This MIDI file has no notes.")
    score = _quantise(pitched, tempos, parsed.tpq)
    title, texts = title_and_texts(first_track)
    return MidiFile(score, title, texts)


def _pedal_changes(notes: Sequence[Note]) -> list[int]:
    """Ascending steps at which the pedal is changed: every bar line, and each onset that brings a new lowest pitch."""
    if not notes:
        return []
    end_step = max(note.end_step for note in notes)
    steps = set(range(0, end_step, STEPS_PER_BAR))
    bass: Note | None = None
    for note in notes:
        if bass is None or bass.end_step <= note.start_step or note.pitch < bass.pitch:
            if bass is not None and note.pitch != bass.pitch:
                steps.add(note.start_step)
            bass = note
    return sorted(steps)


def _quantise(pitched: list[tuple[int, Any]], tempos: list[tuple[int, int]], ticks_per_beat: int) -> Score:
    """Ticks to steps at the mean tempo.

    Args:
        pitched: (program, columns time, duration, pitch, velocity) of each track that has notes.
        tempos: (tick, microseconds a beat), ascending.
        ticks_per_beat: above 0.
    """
    starts = [columns["time"].astype(np.int64) for _, columns in pitched]
    ends = [start + columns["duration"].astype(np.int64) for start, (_, columns) in zip(starts, pitched, strict=True)]
    end_tick = max(int(end.max()) for end in ends)
    if min(int(start.min()) for start in starts) < 0 or end_tick <= 0:
        raise InvalidMidi("This MIDI file is damaged: its notes lie outside of time.")
    if any(tempo_us <= 0 for _, tempo_us in tempos):
        raise InvalidMidi("This MIDI file is damaged: it has a tempo of zero.")
    tempo_us = _mean_tempo_us(tempos, end_tick)
    tempo_bpm = _MICROSECONDS_PER_MINUTE / tempo_us
    if not _RAW_TEMPO_BPM[0] <= tempo_bpm <= _RAW_TEMPO_BPM[1]:
        raise InvalidMidi("This MIDI file has an absurd tempo: {n} beats a minute.", n=f"{tempo_bpm:,.2f}")
    duration_s = end_tick / ticks_per_beat * tempo_us / 1e6
    if duration_s > MAX_DURATION_S:
        raise InvalidMidi("This MIDI file has an absurd duration: {n} hours.", n=f"{duration_s / 3600:,.0f}")
    numerator, denominator = STEPS_PER_BEAT, ticks_per_beat
    while tempo_bpm > TEMPO_BPM_MAX:
        tempo_bpm, denominator = tempo_bpm / 2, denominator * 2
    while tempo_bpm < TEMPO_BPM_MIN:
        tempo_bpm, numerator = tempo_bpm * 2, numerator * 2
    notes: list[Note] = []
    for (program, columns), start, end in zip(pitched, starts, ends, strict=True):
        part = part_of_program(program)
        # Nearest step, halves up: floor(tick * numerator / denominator + 1/2) in whole numbers.
        start_steps = (2 * start * numerator + denominator) // (2 * denominator)
        end_steps = (2 * end * numerator + denominator) // (2 * denominator)
        durations = np.maximum(end_steps - start_steps, 1)
        rows = zip(
            start_steps.tolist(),
            columns["pitch"].tolist(),
            durations.tolist(),
            columns["velocity"].tolist(),
            strict=True,
        )
        notes += [
            Note(step, part, pitch, duration, velocity)
            for step, pitch, duration, velocity in rows
            if 0 <= pitch <= 127 and 1 <= velocity <= 127
        ]
    if not notes:
        raise InvalidMidi("This MIDI file has no notes.")
    # A tempo is stored in whole microseconds a beat: three decimals bring back the one that was written.
    return Score(trim_overlaps(tuple(sorted(notes))), round(tempo_bpm, 3))


def _mean_tempo_us(tempos: list[tuple[int, int]], end_tick: int) -> float:
    """Microseconds a beat, averaged over the ticks from 0 to `end_tick` (above 0)."""
    changes = [(0, _DEFAULT_TEMPO_US), *((tick, tempo_us) for tick, tempo_us in tempos if 0 <= tick < end_tick)]
    ticks = [tick for tick, _ in changes] + [end_tick]
    total = sum(tempo_us * (following - tick) for (tick, tempo_us), following in zip(changes, ticks[1:], strict=True))
    return total / end_tick
