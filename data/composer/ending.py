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
    bar = frame.meter.bar_steps
    loud = frame.arc.at(start_step) > 0.5 or (style.dynamics[0] > 40 and happens(rng, 0.4))
    kind = "broad" if loud else weighed(rng, {"fade": 3.0, "alone": 1.0})
    parts = {note.part for note in draft.notes}
    holding = [part for part in _HOLDING if part in parts] or [Part.PAD]
    low, high = frame.dynamics
    velocity = low + (high - low) * (0.85 if kind == "broad" else 0.12)
    chord = dress(rng, Step(scale.tonic), scale, style.shapes, style.strain[0] - 0.1)
    longest = LONGEST_STEPS // bar * bar
    length = min(longest, weighed(rng, {4: 2.0, 6: 1.0, 8: 1.5}) * bar)
    ground = Part.DRONE if Part.DRONE in parts or Part.SUB not in parts else Part.SUB
    tonic = fit_octave(scale.tonic + 36, 28, 45)
    if Part.SUB in parts and ground is not Part.SUB:
        draft.add(Part.SUB, start_step, fit_octave(tonic, 28, 40), length, velocity * 0.9)
    if ground is Part.SUB or Part.DRONE in parts or happens(rng, 0.6):
        draft.add(ground, start_step, tonic, length, velocity)
        if ground is Part.DRONE and scale.tonic + 7 in {tone + 12 * (tone < scale.tonic) for tone in scale.pitch_classes}:
            draft.add(ground, start_step, tonic + 7, length, velocity * 0.85)
    for rank, part in enumerate(holding[: 1 if kind == "alone" else 3]):
        before = _last_voicing(draft, part, start_step)
        floor, ceiling = _reach(before, frame.register_shift)
        voices = max(2, min(5, len(before) or 3))
        spread = 6 if rank else 5
        for index, pitch in enumerate(lead(before if len(before) == voices else (), chord.tones, voices, floor, ceiling, spread)):
            bloom = 0 if kind == "broad" else 12 * index
            draft.add(part, start_step + bloom, pitch, length - bloom, velocity * (0.9 - 0.08 * rank))
    if Part.BELL in parts and happens(rng, 0.6):
        pitch = nearest(fit_octave(chord.tones[0] + 72, 72, 90), chord.tones)
        draft.add(Part.BELL, start_step + (0 if kind == "broad" else 24), pitch, 48, velocity * 0.9)
    return kind


def _last_voicing(draft: Draft, part: Part, step: int) -> tuple[int, ...]:
    """What a part held just before a step, ascending, at most five notes."""
    sounding = {note.pitch for note in draft.notes if note.part is part and note.end_step >= step > note.start_step}
    return tuple(sorted(sounding)[:5])


def _reach(before: tuple[int, ...], shift: int) -> tuple[int, int]:
    if before:
        return min(before) - 5, max(before) + 7 if max(before) - min(before) > 4 else min(before) + 14
    return 48 + shift, 68 + shift
