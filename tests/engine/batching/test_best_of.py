from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator
from functools import partial

import pytest
import torch

from data.tokens import DELTA, IntArray
from engine.batching.best_of import BestOf
from engine.batching.native import NativeSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled, EngineClosed
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import Index, Source, all_runs
from engine.plan import plan, to_score
from engine.takes import ROUNDS_MAX, TAKES, Judge, takes_of
from engine.types import ComposeRequest


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


@pytest.fixture
def best_of(checkpoint: Checkpoint) -> Iterator[BestOf]:
    opened = BestOf(partial(NativeSlots, checkpoint, 20), Judge.of(checkpoint, Index.load(DEFAULT)))
    yield opened
    opened.close()


def tiny() -> Checkpoint:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).eval().requires_grad_(requires_grad=False)
    model.outputs[DELTA].bias[:8] += 4.0
    return Checkpoint.of("tiny-0", model, {"limits": {"longest_pitch_run": 8}})


def takes(checkpoint: Checkpoint, request: ComposeRequest, count: int) -> list[IntArray]:
    """The first takes of a request, each written alone."""
    slots, found = NativeSlots(checkpoint, 1), []
    for take in range(count):
        slots.begin(0, request, plan(request), attempt=take)
        while slots.run(500):
            pass
        found.append(slots.tokens(0))
    return found


def test_the_best_take_is_served_whatever_else_is_being_made(checkpoint: Checkpoint, best_of: BestOf) -> None:
    judge = Judge.of(checkpoint, Index.load(DEFAULT))
    wanted = [ComposeRequest(length_notes=40 + 60 * n, seed=n) for n in range(6)]
    wishes = [best_of.submit(request, plan(request)) for request in wanted]
    served = [wish.future.result(60) for wish in wishes]
    for request, chosen in zip(wanted, served, strict=True):
        assert chosen == judge.choose(
            takes(checkpoint, request, takes_of(request.length_notes)), request, plan(request)
        )
        assert len(chosen.score.notes) == request.length_notes
    assert len({chosen.take for chosen in served}) > 1


@pytest.mark.parametrize("learnt", [TAKES - 1, TAKES, ROUNDS_MAX * TAKES])
def test_while_all_takes_copy_more_are_written_but_not_for_ever(learnt: int) -> None:
    model = tiny()
    request = ComposeRequest(seed=5, length_notes=40, tempo_bpm=200)
    scores = [to_score(tokens, plan(request)) for tokens in takes(model, request, ROUNDS_MAX * TAKES)]
    sources = [Source(f"by heart {n}", f"{n}") for n in range(learnt)]
    index = Index.of([all_runs(score) for score in scores[:learnt]], sources, 0.07)
    best_of = BestOf(partial(NativeSlots, model, 4), Judge.of(model, index))
    chosen = best_of.submit(request, plan(request)).future.result(60)
    best_of.close()
    assert chosen.score == scores[chosen.take]
    assert chosen.acceptable == (learnt < ROUNDS_MAX * TAKES)
    assert chosen.drawn == {TAKES - 1: TAKES, TAKES: 2 * TAKES}.get(learnt, ROUNDS_MAX * TAKES)
    if chosen.acceptable:
        assert chosen.take >= learnt


def test_a_cancelled_piece_makes_room_and_the_others_go_on(best_of: BestOf) -> None:
    long, short = ComposeRequest(length_notes=2000, seed=1), ComposeRequest(length_notes=16, seed=2)
    begun = threading.Event()
    wishes = [best_of.submit(long, plan(long), on_written=lambda _: begun.set()) for _ in range(20)]
    last = best_of.submit(short, plan(short))
    assert begun.wait(60)
    for wish in wishes:
        best_of.cancel(wish)
    assert len(last.future.result(60).score.notes) == 16
    stopped = [wish.future.exception(60) for wish in wishes]
    assert sum(isinstance(error, Cancelled) for error in stopped) >= 19  # the first may have been complete
    best_of.cancel(last)  # nothing happens


def test_progress_grows_and_ends_with_the_whole_piece(best_of: BestOf) -> None:
    request = ComposeRequest(length_notes=2000, seed=3)
    heard: list[int] = []
    best_of.submit(request, plan(request), on_written=heard.append).future.result(60)
    assert heard == sorted(heard)
    assert heard[-1] == 2000


def test_closing_tells_everybody_and_takes_nothing_more(best_of: BestOf) -> None:
    request = ComposeRequest(length_notes=2000, seed=3)
    wishes = [best_of.submit(request, plan(request)) for _ in range(10)]
    best_of.close()
    best_of.close()
    assert isinstance(wishes[-1].future.exception(10), EngineClosed)
    assert all(wish.future.done() for wish in wishes)
    with pytest.raises(EngineClosed):
        best_of.submit(request, plan(request))


def test_a_piece_that_ends_while_the_judge_leaves_is_answered(best_of: BestOf) -> None:
    best_of._judging.shutdown()  # what `close` does, at the one moment at which a piece could be forgotten
    request = ComposeRequest(length_notes=16, seed=3)
    assert len(best_of.submit(request, plan(request)).future.result(60).score.notes) == 16


def test_what_cannot_be_judged_is_told_and_the_next_piece_is_made(best_of: BestOf) -> None:
    request = ComposeRequest(length_notes=16, seed=3)
    impossible = dataclasses.replace(plan(request), tempo_bpm=10_000)
    assert isinstance(best_of.submit(request, impossible).future.exception(60), ValueError)
    assert len(best_of.submit(request, plan(request)).future.result(60).score.notes) == 16
