from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.moods import MOODS, Mood
from data.tokens import ATTRIBUTES, DELTA, PITCH, conditions, encode
from engine.batching.randomness import uniform
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.model import NoteLSTM
from engine.plan import plan, to_score
from engine.sampler import Sampler, draw
from engine.types import ComposeRequest

requests = st.builds(
    ComposeRequest,
    mood=st.sampled_from(Mood),
    length_notes=st.integers(16, 40),
    temperature=st.floats(0.1, 2.0),
    seed=st.integers(0, 2**32 - 1),
)


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


@pytest.fixture(scope="module")
def sampler(checkpoint: Checkpoint) -> Iterator[Sampler]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Sampler(checkpoint, device="cpu")
    torch.set_num_threads(threads)


@given(request=requests)
@settings(max_examples=15, deadline=None)
def test_a_piece_has_exactly_the_notes_asked_for_in_score_order(sampler: Sampler, request: ComposeRequest) -> None:
    decided = plan(request)
    tokens = sampler.sample(request, decided)
    score = to_score(tokens, decided)
    assert len(score.notes) == request.length_notes
    assert [note.pitch % 12 for note in score.notes] == [
        (pitch + 21 + decided.key.tonic) % 12 for pitch in tokens[:, PITCH].tolist()
    ]
    # No two notes of one part and pitch overlap: MIDI could not tell their ends apart.
    last_end: dict[tuple[int, int], int] = {}
    for note in score.notes:
        assert last_end.get((note.part, note.pitch), 0) <= note.start_step
        last_end[note.part, note.pitch] = note.end_step


@given(request=requests)
@settings(max_examples=15, deadline=None)
def test_no_pitch_is_repeated_more_often_than_in_training_music(sampler: Sampler, request: ComposeRequest) -> None:
    pitches = sampler.sample(request, plan(request))[:, PITCH]
    runs = np.diff(np.flatnonzero(np.concatenate(([True], np.diff(pitches) != 0, [True]))))
    assert runs.max() <= sampler.longest_pitch_run


def test_same_request_gives_same_notes_whatever_was_made_in_between(sampler: Sampler) -> None:
    request = ComposeRequest(seed=7, length_notes=60)
    first = sampler.sample(request, plan(request))
    other = ComposeRequest(seed=8, length_notes=30, mood=Mood.EPIC)
    sampler.sample(other, plan(other))
    torch.rand(100)  # the global generator plays no part
    np.testing.assert_array_equal(first, sampler.sample(request, plan(request)))


def test_another_seed_and_another_mood_give_other_notes(sampler: Sampler) -> None:
    pieces = [
        sampler.sample(request, plan(request)).tobytes()
        for request in (
            ComposeRequest(seed=1, length_notes=40),
            ComposeRequest(seed=2, length_notes=40),
            ComposeRequest(seed=1, length_notes=40, mood=Mood.HOPEFUL),
        )
    ]
    assert len(set(pieces)) == 3


def test_one_step_at_a_time_agrees_with_the_model_over_the_whole_piece(
    checkpoint: Checkpoint, sampler: Sampler
) -> None:
    request = ComposeRequest(seed=3, length_notes=50, mood=Mood.TENSE)
    decided = plan(request)
    tokens = sampler.sample(request, decided)
    rows = conditions(
        tokens, mood=request.mood, mode=decided.key.mode, tempo_bpm=decided.tempo_bpm, controls=decided.controls
    )
    previous = np.vstack([[attribute.size for attribute in ATTRIBUTES], tokens[:-1]])
    model = NoteLSTM.of(checkpoint)
    with torch.inference_mode():
        hidden, _ = model(torch.from_numpy(previous)[None], torch.from_numpy(rows)[None])
        state = sampler._weights.initial_state()
        for t in range(len(tokens)):
            queries = sampler._weights.step([*previous[t].tolist(), *rows[t].tolist()], state)
            for attribute in range(len(ATTRIBUTES)):
                torch.testing.assert_close(
                    sampler._weights.logits(attribute, queries, tokens[t].tolist()),
                    model.attribute_logits(attribute, hidden[0, t], torch.from_numpy(tokens[t])),
                    atol=1e-4,
                    rtol=1e-4,
                )


def test_a_sampled_piece_encodes_back_to_its_tokens(sampler: Sampler) -> None:
    request = ComposeRequest(seed=5, length_notes=64)
    decided = plan(ComposeRequest(seed=5, length_notes=64))
    tokens = sampler.sample(request, decided)
    assert tokens[0, DELTA] == 0
    np.testing.assert_array_equal(encode(to_score(tokens, decided))[:, DELTA], tokens[:, DELTA])


@given(
    logits=st.lists(st.floats(-8, 8), min_size=2, max_size=40),
    temperature=st.floats(0.1, 2.0),
    top_p=st.floats(0.05, 1.0),
    uniform=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=60, deadline=None)
def test_a_draw_never_leaves_the_nucleus(logits: list[float], temperature: float, top_p: float, uniform: float) -> None:
    row = torch.tensor(logits)
    chosen = draw(row, temperature, top_p, lambda attempt: (uniform + 0.618 * attempt) % 1)
    probabilities = torch.softmax(row.double() / temperature, -1)
    heavier = float(probabilities[probabilities > probabilities[chosen]].sum())
    assert heavier < top_p + 1e-9


def test_draws_follow_the_distribution() -> None:
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05]))
    draws = [draw(logits, 1.0, 0.9, partial(uniform, (1, 0), note, 0)) for note in range(4000)]
    counts = np.bincount(draws, minlength=4) / 4000
    np.testing.assert_allclose(counts, [0.5 / 0.95, 0.3 / 0.95, 0.15 / 0.95, 0.0], atol=0.025)  # 3 standard errors


def test_a_value_ruled_out_is_never_drawn() -> None:
    logits = torch.tensor([10.0, -torch.inf, 9.0])
    assert {draw(logits, 2.0, 1.0, lambda _, u=u: u) for u in np.linspace(0, 0.999999, 50)} == {0, 2}


def test_the_plan_fills_what_a_request_leaves_open_and_keeps_what_it_says() -> None:
    open_request = ComposeRequest(seed=11)
    decided = plan(open_request)
    fixed = plan(ComposeRequest(seed=11, tempo_bpm=150))
    assert fixed.tempo_bpm == 150
    assert fixed.key == decided.key
    assert {plan(ComposeRequest(seed=s)).key.tonic for s in range(80)} == set(range(12))
    assert len(MOODS) == 8
