from __future__ import annotations

import pytest

from data.endings import ending, longest_silence_s
from data.score import STEPS_PER_BEAT, Note, Part, Score


def test_an_ending_rings_on_or_fades_and_a_cut_does_neither() -> None:
    notes = [Note(6 * i, Part.KEYS, 60 + i % 5, 6, 80) for i in range(60)]
    cut = ending(Score(tuple(notes), 80), 0)
    assert not cut.ends
    held = ending(Score((*notes, Note(360, Part.PAD, 48, 48, 80)), 80), 0)
    assert (held.long, held.ends, held.tonic) == (True, True, True)
    softer = [*notes[:-8], *(Note(n.start_step, n.part, n.pitch, 12, 40) for n in notes[-8:])]
    assert ending(Score(tuple(softer), 80), 0).fading
    slower = [*notes[:-8], *(Note(312 + 18 * i, Part.KEYS, 60, 18, 80) for i in range(8))]
    assert ending(Score(tuple(slower), 80), 0).fading


def test_a_drone_that_still_rings_is_no_ending() -> None:
    notes = [Note(6 * i, Part.KEYS, 60 + i % 5, 6, 80) for i in range(60)]
    drone = [Note(96 * i, Part.DRONE, 36, 192, 80) for i in range(4)]
    assert not ending(Score(tuple(sorted([*notes, *drone])), 80), 0).ends


def test_silence_is_what_lies_between_the_end_of_all_notes_before_and_the_next() -> None:
    def note(start: int, length: int) -> Note:
        return Note(start_step=start, part=Part.KEYS, pitch=60 + start % 5, duration_steps=length, velocity=80)

    beat = STEPS_PER_BEAT  # a second at 60
    score = Score((note(4 * beat, 6 * beat), note(5 * beat, beat), note(13 * beat, beat), note(14 * beat, beat)), 60.0)
    assert longest_silence_s(score) == pytest.approx(3.0)
    assert longest_silence_s(Score((note(9, 4),), 60.0)) == 0.0
