"""What every piece must have: an ending, and no silence where none was meant."""

from __future__ import annotations

from data.score import STEPS_PER_BEAT, Part, Score

_SUSTAINED = frozenset({Part.SUB, Part.DRONE, Part.PAD, Part.STRINGS, Part.CHOIR})


def ends_well(score: Score) -> bool:
    """Whether a piece of three notes or more ends on a long final sonority rather than in mid-phrase.

    Of the last three notes to begin, two at least are drone, pad, strings, choir or sub, sound for four beats or more;
    and the piece rings on for four beats after the very last one.
    """
    last = score.notes[-3:]
    long = [note for note in last if note.part in _SUSTAINED and note.duration_steps >= 4 * STEPS_PER_BEAT]
    ring_on = score.end_step - score.notes[-1].start_step >= 4 * STEPS_PER_BEAT
    return len(long) >= 2 and ring_on


def longest_silence_s(score: Score) -> float:
    """Seconds of the longest stretch inside a piece in which nothing sounds."""
    reached, longest = 0, 0
    for note in score.notes:
        longest = max(longest, note.start_step - reached)
        reached = max(reached, note.end_step)
    return score.seconds(longest)
