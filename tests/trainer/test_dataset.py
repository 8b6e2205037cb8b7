from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from data.composer.piece import compose_piece
from data.controls import CONTROLS, NOT_TOLD, controls
from data.corpus import Piece
from data.keys import Key
from data.moods import Mood
from data.score import Note, Part, Score
from data.tokens import ATTRIBUTES, CONDITIONS, DELTA, DELTA_STEPS, MOOD, PITCH, TEMPO, conditions, encode, mood_index
from tests.strategies import grid_scores
from trainer.dataset import (
    Augmentation,
    Example,
    _rewritten,
    batches,
    longest_pitch_run,
    segments,
    shift_to_tonic,
    to_example,
    usual_pitch_run,
)


def example_of(score: Score) -> Example:
    tokens = encode(score)
    return Example(tokens, conditions(tokens, mood=None, mode=None, tempo_bpm=60))


def melody(*pitches: int) -> Score:
    return Score(tuple(Note(12 * i, Part.KEYS, pitch, 12, 64) for i, pitch in enumerate(pitches)), 60)


@given(scores=st.lists(grid_scores(), min_size=1, max_size=6), seed=st.one_of(st.none(), st.integers(0, 99)))
@settings(max_examples=25, deadline=None)
def test_an_epoch_shows_every_note_once_and_each_after_the_note_before_it(
    scores: list[Score], seed: int | None
) -> None:
    examples = [example_of(score) for score in scores]
    rng = None if seed is None else np.random.default_rng(seed)
    seen: list[tuple[int, ...]] = []
    lanes: dict[int, tuple[int, ...]] = {}
    for batch in batches(examples, batch=3, sequence_notes=4, segment_notes=7, rng=rng):
        for lane in range(3):
            for t in range(4):
                if not batch.mask[lane, t]:
                    continue
                target, previous = tuple(batch.target[lane, t].tolist()), tuple(batch.previous[lane, t].tolist())
                if not (t == 0 and batch.starts[lane]):
                    assert previous == lanes[lane]
                lanes[lane] = target
                seen.append(target)
    assert sorted(seen) == sorted(tuple(row) for example in examples for row in example.tokens.tolist())


def test_the_first_note_of_a_piece_follows_no_note() -> None:
    batch = next(batches([example_of(melody(60, 62))], batch=1, sequence_notes=4, segment_notes=9, rng=None))
    assert batch.previous[0, 0].tolist() == [attribute.size for attribute in ATTRIBUTES]
    assert batch.mask[0].tolist() == [True, True, False, False]


def test_every_piece_is_learnt_in_c() -> None:
    scale = [0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0]
    wanted = encode(melody(*(60 + step for step in scale)))[:, PITCH] % 12
    for tonic in range(12):
        score = melody(*(60 + tonic + step for step in scale))
        piece = Piece(
            sha256="", title="", composer="", source="", licence="CC0-1.0", credit="", mood=Mood.HOPEFUL,
            score=score,
        )  # fmt: skip
        assert (to_example(piece).tokens[:, PITCH] % 12).tolist() == wanted.tolist(), str(Key(tonic, "major"))
    assert {shift_to_tonic(semitones) for semitones in range(-11, 12)} == set(range(-6, 6))  # the shortest way


def test_the_longest_run_of_one_pitch_is_counted_across_parts() -> None:
    assert longest_pitch_run(encode(melody(60, 60, 62, 62, 62, 60))) == 3
    assert usual_pitch_run([example_of(melody(*[60] * n)) for n in (2,) * 91 + (50,) * 9]) == 2
    assert usual_pitch_run([example_of(melody(*[60] * n)) for n in (2,) * 89 + (50,) * 11]) == 50


def test_a_mood_is_told_from_the_confidence_asked_for_on() -> None:
    piece = replace(own(), mood_confidence=0.5)
    told = [to_example(piece, confidence).conditions[0, MOOD] for confidence in (0.5, 0.51)]
    assert told == [mood_index(piece.mood), mood_index(None)]


def test_a_long_piece_is_cut_at_another_place_each_time() -> None:
    long = example_of(melody(*[60, 62] * 50))
    cuts = [segments([long], 40, np.random.default_rng(seed)) for seed in range(20)]
    assert all(max(each.end for each in found) == 100 for found in cuts)
    first = {min(each.end for each in found) for found in cuts}
    assert len(first) > 5
    assert 20 <= min(first) <= max(first) <= 40


def own(seed: int = 1, mood: Mood = Mood.TENSE) -> Piece:
    score = compose_piece(seed, mood).score
    return Piece(
        sha256="", title="", composer="", source="own", licence="CC0-1.0", credit="", mood=mood, score=score
    )  # fmt: skip


def test_an_example_is_told_the_controls_of_its_piece_unless_told_otherwise() -> None:
    example = to_example(own())
    assert {tuple(row) for row in example.conditions[:, len(CONDITIONS) :].tolist()} == {controls(own().score)}
    hidden = example.told(NOT_TOLD)
    assert {tuple(row) for row in hidden.conditions[:, len(CONDITIONS) :].tolist()} == {NOT_TOLD}
    np.testing.assert_array_equal(hidden.conditions[:, : len(CONDITIONS)], example.conditions[:, : len(CONDITIONS)])


def test_a_piece_in_other_note_values_sounds_the_same() -> None:
    example = to_example(own(mood=Mood.DARK), otherwise=True)
    assert example.variants
    for variant in example.variants:
        onsets = [np.cumsum(np.array(DELTA_STEPS)[each.tokens[:, DELTA]]) for each in (example, variant)]
        ratio = onsets[1][-1] / onsets[0][-1]
        assert 0.45 < ratio < 0.55 or 1.9 < ratio < 2.1
        np.testing.assert_array_equal(variant.tokens[:, PITCH], example.tokens[:, PITCH])
        assert (variant.conditions[0, TEMPO] - example.conditions[0, TEMPO]) * (ratio - 1) > 0


def test_a_piece_is_rewritten_where_its_grid_and_a_tempo_of_some_mood_allow_it() -> None:
    even = melody(60, 62, 64).notes
    odd = tuple(replace(note, duration_steps=11) for note in even)
    tempi = [[each.tempo_bpm for each in _rewritten(Score(even, tempo_bpm))] for tempo_bpm in (79, 80, 100, 101)]
    assert tempi == [[158], [40, 160], [50, 200], [50.5]]
    assert [each.tempo_bpm for each in _rewritten(Score(odd, 80))] == [160]


def test_no_piece_is_moved_off_the_keyboard() -> None:
    example = example_of(melody(21, 60))
    rng = np.random.default_rng(0)
    assert {int(Augmentation(semitones=3).of(example, rng).tokens[0, PITCH]) for _ in range(60)} == {0, 1, 2, 3}


def test_augmentation_changes_what_it_says_and_leaves_the_example_alone() -> None:
    example = to_example(own(mood=Mood.DARK), otherwise=True)
    before = example.tokens.copy(), example.conditions.copy()
    rng = np.random.default_rng(0)
    assert Augmentation().of(example, rng) is example
    shown = [Augmentation(hidden=0.5).of(example, rng) for _ in range(60)]
    hidden = np.array([each.conditions[0, len(CONDITIONS) :] == NOT_TOLD for each in shown])
    assert 0.5 < hidden.mean() < 0.95
    assert hidden.all(axis=1).any()
    assert {each.conditions[0, MOOD] for each in shown} == {mood_index(Mood.DARK), mood_index(None)}
    untold = [Augmentation(untold=0.3).of(example, rng).conditions[0] for _ in range(60)]
    for row in untold:
        assert (row[MOOD] == mood_index(None)) == (row[len(CONDITIONS) :] == NOT_TOLD).all()
    assert 5 <= sum(row[MOOD] == mood_index(None) for row in untold) <= 35
    moved = [Augmentation(semitones=3).of(example, rng).tokens[0, PITCH] - example.tokens[0, PITCH] for _ in range(60)]
    assert set(moved) == set(range(-3, 4))
    variants = [Augmentation(rewritten=1.0).of(example, rng) for _ in range(20)]
    assert all(any(each is variant for variant in example.variants) for each in variants)
    np.testing.assert_array_equal(example.tokens, before[0])
    np.testing.assert_array_equal(example.conditions, before[1])
    assert len(CONTROLS) == example.conditions.shape[1] - len(CONDITIONS)
