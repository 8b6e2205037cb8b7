"""What every piece must have: an ending, and no silence where none was meant."""

from __future__ import annotations

from data.score import STEPS_PER_BEAT, Part, Score

_SUSTAINED = frozenset({Part.SUB, Part.DRONE, Part.PAD, Part.STRINGS, Part.CHOIR})
_DECAYING = frozenset({Part.SUB, Part.KEYS, Part.BELL, Part.PLUCK, Part.PULSE})
_DECAY_S = 2.0


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
    """Seconds of the longest stretch inside a piece in which nothing is heard.

    Struck and plucked sounds are taken to have died away two seconds after their onset, however long they are held.
    """
    decay_steps = round(_DECAY_S / score.seconds(1))
    reached, longest = 0, 0
    for note in score.notes:
        longest = max(longest, note.start_step - reached)
        heard = min(note.duration_steps, decay_steps) if note.part in _DECAYING else note.duration_steps
        reached = max(reached, note.start_step + heard)
    return score.seconds(longest)
