from __future__ import annotations

import pytest

from data.importer import MIN_NOTES
from data.keys import transpose
from data.score import Note, Part, Score
from data.similarity import FEW_RUNS, NEAR_DUPLICATE_SHARE, SimilarityIndex, fingerprint
from tests.data.test_importer import melody


def ostinato(pitches: tuple[int, ...], notes: int = 64) -> Score:
    return Score(tuple(Note(6 * i, Part.SUB, pitches[i % len(pitches)], 6, 80) for i in range(notes)), 80)


def share(score: Score, other: Score) -> float:
    index = SimilarityIndex()
    index.add("other", fingerprint(other))
    return index.nearest(fingerprint(score))[1]


@pytest.mark.parametrize("pitches", [(36,), (36, 43), (36, 48, 43, 48, 36, 39, 43, 39)])
def test_a_piece_with_an_ostinato_in_it_is_no_copy_of_that_ostinato(pitches: tuple[int, ...]) -> None:
    alone = ostinato(pitches)
    notes = tuple(Note(note.start_step + 384, note.part, note.pitch, 6, 80) for note in melody(1).notes)
    song = Score((*alone.notes, *notes), 80)
    assert fingerprint(alone) < fingerprint(song)
    assert share(alone, song) == share(song, alone) < NEAR_DUPLICATE_SHARE


@pytest.mark.parametrize("pitches", [(36,), (36, 43), (36, 48, 43, 48, 36, 39, 43, 39)])
def test_a_small_piece_is_found_in_another_key_and_length(pitches: tuple[int, ...]) -> None:
    assert share(ostinato(pitches), transpose(ostinato(pitches, notes=200), 5)) == 1.0


def test_another_rhythm_is_another_piece_and_nine_notes_are_none() -> None:
    even = melody(1).notes
    uneven = tuple(Note(13 * (i // 2) + 7 * (i % 2), n.part, n.pitch, 4, n.velocity) for i, n in enumerate(even))
    assert not fingerprint(Score(even, 80)) & fingerprint(Score(uneven, 80))
    assert [len(fingerprint(Score(even[:count], 80))) for count in (9, 10)] == [0, 1]


def test_the_shortest_excerpt_that_is_taken_is_found_in_its_piece() -> None:
    excerpt = Score(melody(1).notes[:MIN_NOTES], 80)
    assert len(fingerprint(excerpt)) == FEW_RUNS - 1
    assert share(excerpt, melody(1)) == share(melody(1), excerpt) >= NEAR_DUPLICATE_SHARE
