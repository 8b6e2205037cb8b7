"""Endings: the last sonority, long and left to ring."""

from __future__ import annotations

import numpy as np

from data.composer.chance import happens, weighed
from data.composer.harmony import Step, dress
from data.composer.stage import LONGEST_STEPS, Draft, Frame
from data.composer.style import MoodStyle
from data.composer.theory import Scale, fit_octave, nearest
from data.composer.voicing import lead
from data.score import Part

_HOLDING = (Part.PAD, Part.STRINGS, Part.CHOIR)


def write_ending(
    rng: np.random.Generator, frame: Frame, style: MoodStyle, scale: Scale, draft: Draft, start_step: int
) -> str:
    """Write the final sonority: a fading chord, a drone that stays alone, or everybody on one broad last chord.

    Args:
        rng: source of chance.
        frame: of the piece.
        style: of the mood.
        scale: of the last section.
        draft: holds the piece so far and takes the ending.
        start_step: where the ending begins, a downbeat.

    Returns:
        the kind: "fade", "alone" or "broad".
    """
    loud = frame.arc.at(start_step) > 0.5 or (style.dynamics[0] > 58 and happens(rng, 0.4))
    kind = "broad" if loud else weighed(rng, {"fade": 3.0, "alone": 1.0})
    low, high = frame.dynamics
    velocity = low + (high - low) * 0.85 if kind == "broad" else low * 0.9
    bar = frame.meter.bar_steps
    length = min(LONGEST_STEPS // bar, weighed(rng, {4: 2.0, 6: 1.0, 8: 1.5})) * bar
    parts = {note.part for note in draft.notes}
    _write_ground(rng, frame, scale, draft, start_step, length, velocity)
    chord = dress(rng, Step(scale.tonic), scale, style.shapes, style.strain[0] - 0.1)
    holding = [part for part in _HOLDING if part in parts] or [Part.PAD]
    leaving = 0  # in a fade the voices leave one after another, the lowest of the first part last
    for rank, part in enumerate(holding[: 1 if kind == "alone" else 3]):
        before = _last_voicing(draft, part, start_step)
        floor, ceiling = _reach(before, frame.register_shift)
        voices = max(2, min(5, len(before) or 3))
        voicing = lead(before if len(before) == voices else (), chord.tones, voices, floor, ceiling, 5 + rank)
        for index, pitch in enumerate(voicing):
            bloom = 0 if kind == "broad" else 12 * index
            if kind == "fade" and (rank or index):
                leaving += 24
            stays = max(length // 2, length - bloom - (leaving if kind == "fade" else 0))
            draft.add(part, start_step + bloom, pitch, stays, velocity * (0.9 - 0.08 * rank))
    if Part.BELL in parts and happens(rng, 0.6):
        pitch = nearest(fit_octave(chord.tones[0] + 72, 72, 90), chord.tones)
        draft.add(Part.BELL, start_step + (0 if kind == "broad" else 24), pitch, 48, velocity * 0.9)
    return kind


def _write_ground(
    rng: np.random.Generator, frame: Frame, scale: Scale, draft: Draft, start_step: int, length: int, velocity: float
) -> None:
    """The tonic underneath, in the part that had the bass; softer where nobody was down there just before."""
    parts = {note.part for note in draft.notes}
    tonic = fit_octave(scale.tonic + 36, 28, 45)
    light = frame.register_shift > 5  # a mood that floats gets no ground at its end that it never had
    if not parts & {Part.SUB, Part.DRONE} and (light or happens(rng, 0.4)):
        return
    for part in (Part.SUB, Part.DRONE):
        if part not in parts and (part is Part.SUB or Part.SUB in parts):
            continue
        loudness = 1.0 if _last_voicing(draft, part, start_step) else 0.75
        pitch = fit_octave(tonic, 28, 40) if part is Part.SUB else tonic
        draft.add(part, start_step, pitch, length, velocity * loudness)
        if part is Part.DRONE and (scale.tonic + 7) % 12 in scale.pitch_classes:
            draft.add(part, start_step, tonic + 7, length, velocity * loudness * 0.85)


def _last_voicing(draft: Draft, part: Part, step: int) -> tuple[int, ...]:
    """What a part held just before a step, ascending, at most five notes."""
    sounding = {note.pitch for note in draft.notes if note.part is part and note.end_step >= step > note.start_step}
    return tuple(sorted(sounding)[:5])


def _reach(before: tuple[int, ...], shift: int) -> tuple[int, int]:
    if before:
        return min(before) - 5, max(before) + 7 if max(before) - min(before) > 4 else min(before) + 14
    return 48 + shift, 68 + shift
