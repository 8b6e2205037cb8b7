"""Half-time: a dense track brought into the ambient range, as a documented transformation of a corpus piece.

The piece is played at half its tempo, once or more often, until at most AMBIENT_NOTES_PER_SECOND remain or the tempo
would fall below SLOWEST_BPM, and its pitched drums are left out (the drum channel is never read). Every other note, and
the grid on which it stands, is as it was written. The MIDI file in the corpus is never changed: the catalogue says
`half_time`, and the transformation is applied when the piece is loaded.
"""

from __future__ import annotations

from data.score import Part, Score

# 95 of 100 human pieces that are estimated ambient, ethereal or melancholic stay below this.
AMBIENT_NOTES_PER_SECOND = 8.0
SLOWEST_BPM = 45.0  # a little below the slowest mood's tempo


def half_time(score: Score) -> Score:
    """Slow a dense score down and drop its pulse; a score without other parts keeps its pulse.

    Args:
        score: with notes.

    Returns:
        the score itself if it is within the ambient range already and has no pulse.
    """
    notes = tuple(note for note in score.notes if note.part is not Part.PULSE) or score.notes
    tempo_bpm = score.tempo_bpm
    while tempo_bpm / 2 >= SLOWEST_BPM and len(notes) / Score(notes, tempo_bpm).duration_s > AMBIENT_NOTES_PER_SECOND:
        tempo_bpm /= 2
    return Score(notes, tempo_bpm)
