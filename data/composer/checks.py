"""What every piece must have: an ending, and no silence where none was meant."""

from __future__ import annotations

from data.score import STEPS_PER_BEAT, Part, Score

_SUSTAINED = frozenset({Part.SUB, Part.DRONE, Part.PAD, Part.STRINGS, Part.CHOIR})


def ends_well(score: Score) -> bool:
    """Whether a piece ends on a long final sonority of drone, pad, strings, choir or sub.

    Long means four beats or more after the last note has begun.
    """
    last_onset = max(note.start_step for note in score.notes)
    return any(
        note.part in _SUSTAINED and note.end_step == score.end_step and note.end_step - last_onset >= 4 * STEPS_PER_BEAT
        for note in score.notes
    )


def longest_silence_s(score: Score) -> float:
    """Seconds of the longest stretch inside a piece in which nothing sounds."""
    reached, longest = 0, 0
    for note in score.notes:
        longest = max(longest, note.start_step - reached)
        reached = max(reached, note.end_step)
    return score.seconds(longest)
