"""What every piece by the project's composer must be."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest

from data.attributes import attributes
from data.composer.checks import ends_well, longest_silence_s
from data.composer.forms import FORMS
from data.composer.piece import NOTES_MAX, NOTES_MIN, STYLES, OwnPiece, compose_piece
from data.composer.stage import LONGEST_STEPS
from data.composer.theory import MODES
from data.composer.variety import HUMAN_SHARE_MAX, sharing
from data.mood_estimate import estimate_mood
from data.moods import MOODS, PROFILES, Mood
from data.score import STEPS_PER_BEAT, Part, trim_overlaps
from data.similarity import fingerprint

PER_MOOD = 12


@pytest.fixture(scope="module")
def pieces() -> dict[Mood, list[OwnPiece]]:
    return {mood: [compose_piece(seed, mood) for seed in range(PER_MOOD)] for mood in MOODS}


@pytest.fixture(scope="module")
def all_pieces(pieces: dict[Mood, list[OwnPiece]]) -> list[OwnPiece]:
    return [piece for group in pieces.values() for piece in group]


@pytest.mark.parametrize("mood", MOODS)
def test_same_seed_gives_same_piece(mood: Mood) -> None:
    assert compose_piece(5, mood) == compose_piece(5, mood)


def test_other_seed_or_mood_gives_another_piece() -> None:
    first = compose_piece(5, Mood.DARK)
    assert compose_piece(6, Mood.DARK).score != first.score
    assert compose_piece(5, Mood.EPIC).score != first.score


def test_a_seed_alone_chooses_the_mood() -> None:
    assert len({compose_piece(seed).mood for seed in range(40)}) == len(MOODS)


@pytest.mark.parametrize("scale", [0.2, 0.5, 2.0])
def test_a_piece_of_another_length_is_still_a_whole_piece(scale: float, pieces: dict[Mood, list[OwnPiece]]) -> None:
    scaled = [compose_piece(seed, mood, scale) for mood in MOODS for seed in range(3)]
    usual = [pieces[mood][seed] for mood in MOODS for seed in range(3)]
    assert compose_piece(2, MOODS[-1], scale) == scaled[-1]
    ratio = median(p.score.duration_s for p in scaled) / median(p.score.duration_s for p in usual)
    assert abs(ratio - 1) > 0.3
    assert (ratio < 1) == (scale < 1)
    for piece in scaled:
        assert NOTES_MIN <= len(piece.score.notes) <= NOTES_MAX
        assert ends_well(piece.score), piece.title
        assert longest_silence_s(piece.score) < 2.0, piece.title
        assert piece.score.notes == trim_overlaps(piece.score.notes)


def test_sizes_tempi_and_grid(all_pieces: list[OwnPiece]) -> None:
    for piece in all_pieces:
        score = piece.score
        assert NOTES_MIN <= len(score.notes) <= NOTES_MAX
        low, high = PROFILES[piece.mood].tempo_bpm
        assert low <= score.tempo_bpm <= high
        assert 40 <= score.duration_s <= 480
        on_grid = sum(note.start_step % 3 == 0 or note.start_step % 4 == 0 for note in score.notes)
        assert on_grid >= 0.9 * len(score.notes), piece.title
        assert all(note.duration_steps <= LONGEST_STEPS for note in score.notes)
        assert score.notes[0].start_step < 16 * STEPS_PER_BEAT
        assert score.notes == trim_overlaps(score.notes)


def test_pieces_end_on_a_long_sonority(all_pieces: list[OwnPiece]) -> None:
    assert sum(ends_well(piece.score) for piece in all_pieces) >= 0.95 * len(all_pieces)


def test_a_piece_cut_in_the_middle_does_not_end_well(all_pieces: list[OwnPiece]) -> None:
    cut = [replace(piece.score, notes=piece.score.notes[: len(piece.score.notes) // 2]) for piece in all_pieces]
    assert sum(map(ends_well, cut)) < 0.35 * len(cut)


def test_the_last_sonority_is_the_tonic(all_pieces: list[OwnPiece]) -> None:
    for piece in all_pieces:
        lowest = min(
            (note for note in piece.score.notes if note.end_step == piece.score.end_step), key=lambda note: note.pitch
        )
        last_onsets = [note for note in piece.score.notes if note.start_step >= lowest.start_step]
        assert piece.key.tonic in {note.pitch % 12 for note in last_onsets}, piece.title


def test_no_unmeant_silence(all_pieces: list[OwnPiece]) -> None:
    assert max(longest_silence_s(piece.score) for piece in all_pieces) < 2.0


def test_drones_are_long_and_low(all_pieces: list[OwnPiece]) -> None:
    drones = [note for piece in all_pieces for note in piece.score.notes if note.part is Part.DRONE]
    assert median(note.duration_steps for note in drones) >= 16 * STEPS_PER_BEAT
    assert max(note.pitch for note in drones) <= 66


def test_any_key_modes_and_forms(all_pieces: list[OwnPiece]) -> None:
    assert len({piece.key.tonic for piece in all_pieces}) == 12
    assert {piece.form for piece in all_pieces} == set(FORMS)
    assert len({piece.mode for piece in all_pieces}) >= 12
    assert all(piece.mode in MODES and piece.mode in STYLES[piece.mood].modes for piece in all_pieces)


def test_loudness_follows_the_tension(all_pieces: list[OwnPiece]) -> None:
    shaped = 0
    for piece in all_pieces:
        tenth = piece.score.end_step // 10
        loudness = [
            [note.velocity for note in piece.score.notes if note.start_step // tenth == index] for index in range(10)
        ]
        levels = [sum(values) / len(values) for values in loudness if values]
        shaped += max(levels) - min(levels) >= 10
    assert shaped >= 0.85 * len(all_pieces)


def test_no_two_pieces_share_more_than_human_pieces_do(all_pieces: list[OwnPiece]) -> None:
    assert sharing([fingerprint(piece.score) for piece in all_pieces]).maximum <= HUMAN_SHARE_MAX


def test_moods_differ_in_the_cues_that_listeners_use(pieces: dict[Mood, list[OwnPiece]]) -> None:
    found = {mood: [attributes(piece.score) for piece in group] for mood, group in pieces.items()}

    def middle(mood: Mood, name: str) -> float:
        return median(getattr(row, name) for row in found[mood])

    for loud in (Mood.TENSE, Mood.EPIC, Mood.HOPEFUL):
        for soft in (Mood.DARK, Mood.AMBIENT, Mood.MELANCHOLIC, Mood.ETHEREAL):
            assert middle(loud, "velocity_mean") > middle(soft, "velocity_mean")
            assert middle(loud, "tempo_bpm") > middle(soft, "tempo_bpm")
            assert middle(loud, "notes_per_second") > middle(soft, "notes_per_second")
    assert middle(Mood.ETHEREAL, "pitch_mean") > middle(Mood.AMBIENT, "pitch_mean") > middle(Mood.DARK, "pitch_mean")
    for harsh in (Mood.DARK, Mood.TENSE, Mood.MYSTERIOUS):
        for pure in (Mood.AMBIENT, Mood.HOPEFUL, Mood.EPIC):
            assert middle(harsh, "dissonance") > middle(pure, "dissonance")
    for bright in (Mood.AMBIENT, Mood.ETHEREAL, Mood.HOPEFUL):
        for dim in (Mood.DARK, Mood.TENSE, Mood.MELANCHOLIC):
            assert middle(bright, "majorness") > middle(dim, "majorness")


def test_an_estimate_that_knows_nothing_of_the_composer_hears_the_valence(pieces: dict[Mood, list[OwnPiece]]) -> None:
    valence = {mood: median(estimate_mood(piece.score).valence for piece in group) for mood, group in pieces.items()}
    assert max(valence[Mood.DARK], valence[Mood.TENSE]) < min(valence[Mood.HOPEFUL], valence[Mood.ETHEREAL])
