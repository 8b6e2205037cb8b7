from __future__ import annotations

from data.endings import ending
from data.score import Note, Part, Score


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
