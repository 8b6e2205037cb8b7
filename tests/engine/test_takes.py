from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from data.composer.piece import compose_piece
from data.endings import ending, longest_silence_s
from data.keys import Key
from data.listener import Listener, features
from data.mood_estimate import estimate_mood
from data.moods import MOODS, Mood
from data.opening import Opening
from data.score import Score
from data.tokens import IntArray, decode, encode
from engine.checkpoint import Checkpoint
from engine.errors import CheckpointProblem
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import Index, Source, all_runs
from engine.plan import Plan
from engine.takes import Judge, takes_of
from engine.types import DURATION_MAX_S, ComposeRequest
from tests.strategies import grid_scores

PLAN = Plan(80, Key(0, "minor"))
# Whole pieces of every mood, and the same broken off in the middle.
WHOLE = [encode(compose_piece(seed, mood).score) for mood in MOODS for seed in range(2)]
BROKEN = [tokens[: len(tokens) // 2] for tokens in WHOLE]
ANY = Judge({}, None)
LISTENER = Listener(np.zeros(13), np.ones(13), np.random.default_rng(1).normal(0, 0.1, (14, len(MOODS))))


def score(tokens: IntArray) -> Score:
    return decode(tokens, PLAN.tempo_bpm)


def ends(tokens: IntArray) -> bool:
    return ending(score(tokens), 0).ends


def request(mood: Mood = Mood.DARK, **values: Any) -> ComposeRequest:
    return ComposeRequest(mood=mood, seed=1, **values)


def learnt(*pieces: IntArray) -> Index:
    """An index as of a model that knows these by heart."""
    return Index.of([all_runs(score(p)) for p in pieces], [Source(f"{n}", f"{n}") for n in range(len(pieces))], 0.05)


def test_a_take_that_ends_is_served_before_one_that_breaks_off() -> None:
    takes = [*(tokens for tokens in BROKEN if not ends(tokens)), *(tokens for tokens in WHOLE if ends(tokens))]
    assert 4 < sum(map(ends, takes)) < len(takes) - 4
    for mood in (Mood.AMBIENT, Mood.EPIC):
        assert ending(ANY.choose(takes, request(mood), PLAN).score, 0).ends
    assert ANY.choose(BROKEN[:1], request(), PLAN).take == 0  # when there is no better one


def test_a_take_that_falls_silent_in_the_middle_is_served_after_one_that_does_not() -> None:
    whole = next(tokens for tokens in WHOLE if ends(tokens))
    notes = score(whole).notes
    half = notes[len(notes) // 2].start_step
    moved = [replace(note, start_step=note.start_step + 150 * (note.start_step >= half)) for note in notes]
    silent = encode(Score(tuple(moved), PLAN.tempo_bpm))
    assert 8 > longest_silence_s(score(silent)) > 4 > longest_silence_s(score(whole))
    for takes in ([silent, whole], [whole, silent]):
        assert longest_silence_s(ANY.choose(takes, request(), PLAN).score) < 4
    assert ANY.choose([silent], request(), PLAN).take == 0  # when there is no better one


@pytest.mark.parametrize("mood", [Mood.DARK, Mood.AMBIENT, Mood.TENSE, Mood.MELANCHOLIC, Mood.HOPEFUL, Mood.EPIC])
def test_of_takes_that_end_the_one_of_the_wanted_mood_is_served(mood: Mood) -> None:
    takes = [tokens for tokens in WHOLE if ends(tokens)]
    sure = {estimate_mood(score(tokens)).mood for tokens in takes}
    served = ANY.choose(takes, request(mood), PLAN)
    assert (estimate_mood(served.score).mood == mood) == (mood in sure)
    assert served.drawn == len(takes)
    again = ANY.choose(takes[::-1], request(mood), PLAN)
    assert again.score == served.score  # their order does not matter


def test_what_copies_is_passed_over_however_good_it_is() -> None:
    best = ANY.choose(WHOLE, request(), PLAN)
    served = Judge({}, learnt(WHOLE[best.take])).choose(WHOLE, request(), PLAN)
    assert served.take != best.take
    assert (served.copies, served.acceptable) == (1, True)
    assert served.originality is not None
    assert served.originality.copied_share < 0.05


def test_where_all_copy_the_most_original_is_served_and_says_so() -> None:
    half = WHOLE[3][: len(WHOLE[3]) // 2]
    served = Judge({}, learnt(*WHOLE[:3], half)).choose(WHOLE[:4], request(), PLAN, first=8)
    assert (served.take, served.drawn) == (8 + 3, 8 + 4)
    assert not served.acceptable


def test_an_opening_is_not_held_against_the_notes_that_follow() -> None:
    whole, opening = WHOLE[0], Opening.of(WHOLE[0][:-20])
    judge = Judge({}, learnt(whole[:-20]))
    assert not judge.choose([whole], request(length_notes=len(whole)), PLAN).acceptable
    assert judge.choose([whole], request(length_notes=len(whole), opening=opening), PLAN).acceptable


def test_a_measure_outside_its_band_costs_a_nat_but_not_in_a_short_piece() -> None:
    long, short = score(WHOLE[0]), score(WHOLE[0][:150])
    assert len(long.notes) >= 200
    never, always = {"distinct-4": (2.0, 3.0)}, {"distinct-4": (0.0, 1.0), "compressibility": (0.0, 1.0)}
    for bands, nats in ((never, 1.0), (always, 0.0), (never | {"longest pitch run": (0.0, 0.5)}, 2.0)):
        free, bound = (judge.rank(long, request(), PLAN) for judge in (ANY, Judge(bands, None)))
        assert bound[0] == free[0]
        assert bound[1] - free[1] == pytest.approx(nats)
        assert Judge(bands, None).rank(short, request(), PLAN) == ANY.rank(short, request(), PLAN)


def test_what_the_listener_hears_counts_as_the_literature_does() -> None:
    judge, heard = Judge({}, None, LISTENER), LISTENER.log_shares(features(score(WHOLE[0]))[None])[0]
    for mood, log_share in zip(MOODS, heard, strict=True):
        alone, together = (each.rank(score(WHOLE[0]), request(mood), PLAN) for each in (ANY, judge))
        assert together == (alone[0], pytest.approx(alone[1] - log_share))


def checkpoint(limits: dict[str, Any], **more: object) -> Checkpoint:
    return Checkpoint.of("tiny-0", NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)), {"limits": limits, **more})


def test_a_listener_comes_with_the_checkpoint() -> None:
    judge = Judge.of(checkpoint({}, listener=LISTENER.as_dict()), None)
    assert judge.listener is not None
    assert judge.listener.as_dict() == LISTENER.as_dict()
    for wrong in ({"mean": ["a"]}, {"weights": ["1 2 3"]}, {"weights": 3}):
        with pytest.raises(CheckpointProblem, match="listener"):
            Judge.of(checkpoint({}, listener=LISTENER.as_dict() | wrong), None)
    with pytest.raises(CheckpointProblem, match="listener"):
        Judge.of(checkpoint({}, listener={}), None)


def test_bands_come_with_the_checkpoint() -> None:
    assert Judge.of(checkpoint({"longest_pitch_run": 5}), None) == ANY
    judge = Judge.of(checkpoint({"bands": {"distinct-4": [0.3, 0.98], "longest pitch run": [1, 4]}}), None)
    assert judge.bands == {"distinct-4": (0.3, 0.98), "longest pitch run": (1.0, 4.0)}
    for wrong in ({"distinct-4": 3}, {"distinct-4": [1]}, {"distinct-4": ["a", "b"]}, [1]):
        with pytest.raises(CheckpointProblem, match="pairs of numbers"):
            Judge.of(checkpoint({"bands": wrong}), None)
    with pytest.raises(CheckpointProblem, match="distinct-5"):
        Judge.of(checkpoint({"bands": {"distinct-5": [0, 1]}}), None)


@given(piece=grid_scores())
@settings(max_examples=25, deadline=None)
def test_whatever_is_drawn_can_be_judged(piece: Score) -> None:
    judge = Judge({"distinct-4": (0.3, 0.9)}, learnt(WHOLE[0]))
    chosen = judge.choose([encode(piece)], request(), PLAN)
    assert chosen.take == 0
    assert judge.rank(chosen.score, request(), PLAN)[1] >= 0


def test_a_long_piece_has_fewer_takes() -> None:
    assert [takes_of(length) for length in (16, 200, 400, 800, 1600, 2000)] == [32, 32, 16, 8, 4, 4]


def test_a_take_that_is_too_long_to_be_played_is_passed_over() -> None:
    best = ANY.choose(WHOLE, request(), PLAN)
    notes = score(WHOLE[best.take]).notes
    slow = Score(tuple(replace(note, start_step=note.start_step + 80 * n) for n, note in enumerate(notes)), 80)
    takes = [encode(slow), *WHOLE[:2]]
    assert score(takes[0]).duration_s > DURATION_MAX_S
    for judge in (ANY, Judge({}, learnt(*WHOLE[:2]))):  # and rather a copy than nothing
        served = judge.choose(takes, request(), PLAN)
        assert served.take > 0
        assert served.playable
    assert not ANY.choose(takes[:1], request(), PLAN).acceptable
