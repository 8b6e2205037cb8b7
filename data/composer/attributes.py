"""What a listener would notice of a piece, as numbers: the cues by which moods are told apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import numpy as np

from data.composer.harmony import strain
from data.score import STEPS_PER_BEAT, Part, Score


@dataclass(frozen=True, slots=True)
class Attributes:
    """Measured cues of one piece."""

    tempo_bpm: float
    notes_per_s: float
    register: float  # mean MIDI pitch, weighted by duration, drums left out
    velocity: float  # mean MIDI velocity
    dissonance: float  # mean `strain` of what sounds at each beat: about -1 pure, 0.5 harsh
    polyphony: float  # mean number of pitches that sound at a beat
    duration_s: float
    notes: float


def attributes(score: Score) -> Attributes:
    """Measure a score of at least one note."""
    sounding: list[set[int]] = [set() for _ in range(score.end_step // STEPS_PER_BEAT + 1)]
    weight = 0
    pitch_sum = 0
    for note in score.notes:
        if note.part is Part.PULSE:
            continue
        weight += note.duration_steps
        pitch_sum += note.duration_steps * note.pitch
        for beat in range(-(-note.start_step // STEPS_PER_BEAT), -(-note.end_step // STEPS_PER_BEAT)):
            sounding[beat].add(note.pitch)
    chords = [tuple(sorted({pitch % 12 for pitch in pitches})) for pitches in sounding]
    strains = [strain(chord) for chord in chords if len(chord) > 1]
    return Attributes(
        tempo_bpm=score.tempo_bpm,
        notes_per_s=len(score.notes) / score.duration_s,
        register=pitch_sum / max(1, weight),
        velocity=sum(note.velocity for note in score.notes) / len(score.notes),
        dissonance=sum(strains) / max(1, len(strains)),
        polyphony=sum(map(len, sounding)) / len(sounding),
        duration_s=score.duration_s,
        notes=float(len(score.notes)),
    )


def ends_well(score: Score) -> bool:
    """Whether a piece ends on a long final sonority of sustained parts, four beats or more with nothing new in it.

    The parts that count are drone, pad, strings, choir and sub.
    """
    sustained = (Part.SUB, Part.DRONE, Part.PAD, Part.STRINGS, Part.CHOIR)
    last_onset = max(note.start_step for note in score.notes)
    return any(
        note.part in sustained and note.end_step == score.end_step and note.end_step - last_onset >= 4 * STEPS_PER_BEAT
        for note in score.notes
    )


def longest_silence_s(score: Score) -> float:
    """Seconds of the longest stretch inside the piece in which nothing sounds."""
    reached, longest = 0, 0
    for note in score.notes:
        longest = max(longest, note.start_step - reached)
        reached = max(reached, note.end_step)
    return score.seconds(longest)


def medians(rows: Iterable[Attributes]) -> dict[str, tuple[float, float, float]]:
    """Name of each attribute -> its 10th percentile, median and 90th percentile over some pieces."""
    table: Sequence[Attributes] = list(rows)
    out = {}
    for spec in fields(Attributes):
        low, middle, high = np.quantile([getattr(row, spec.name) for row in table], (0.1, 0.5, 0.9))
        out[spec.name] = (float(low), float(middle), float(high))
    return out
