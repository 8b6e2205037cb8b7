"""A piece does not depend on its company: random schedules of joins, leaves and cancels, from slots to processes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from data.moods import Mood
from data.opening import Opening
from data.tokens import ATTRIBUTES, DELTA, IntArray
from engine.batching.batcher import Batcher
from engine.batching.best_of import BestOf
from engine.batching.native import NativeSlots
from engine.batching.process import WriterProcess
from engine.batching.slots import Slots
from engine.batching.torch_slots import TorchSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled
from engine.originality import Index
from engine.plan import plan
from engine.takes import Judge
from engine.types import ComposeRequest
from tests.engine.batching.making import odd_checkpoint, otherwise

_WRAPS = 1100  # notes; more than the cache keeps

CHECKPOINTS: dict[str, Callable[[], Checkpoint]] = {
    "shipped": lambda: load_checkpoint(DEFAULT),
    "odd": odd_checkpoint,  # with guidance and a cache
    "unguided": lambda: otherwise(odd_checkpoint(), guidance=1.0),
}
Makers = tuple[Callable[[Checkpoint], Slots], Callable[[Checkpoint], Slots]]  # for a crowd, and the fewest there can be
KINDS: dict[str, Makers] = {
    **{f"int8 {n}": (partial(NativeSlots, count=n), partial(NativeSlots, count=1)) for n in (1, 3, 16, 67)},
    "float32 16": tuple(partial(NativeSlots, count=n, precision="float32") for n in (16, 1)),  # type: ignore[dict-item]
    **{f"torch {n}": (partial(TorchSlots, count=n, block=4), partial(TorchSlots, count=1, block=4)) for n in (4, 12)},
}


@dataclass(frozen=True)
class Wanted:
    """One piece, as slots are asked for it."""

    request: ComposeRequest
    attempt: int

    def begin(self, slots: Slots, slot: int) -> None:
        opening = self.request.opening
        tokens = None if opening is None else opening.tokens
        slots.begin(slot, self.request, plan(self.request), attempt=self.attempt, opening=tokens)

    def alone(self, slots: Slots) -> IntArray:
        self.begin(slots, 0)
        while slots.run(500):
            pass
        return slots.tokens(0)


def any_opening(seed: int, notes: int) -> Opening | None:
    """Notes as nobody would write them, or none."""
    chance = np.random.default_rng(seed)
    sizes = [attribute.size for attribute in ATTRIBUTES]
    tokens = chance.integers(sizes, size=(notes, len(sizes)))
    tokens[:1, DELTA], tokens[1:, DELTA] = 0, np.maximum(tokens[1:, DELTA], 1)
    return Opening.of(tokens) if notes else None


requests = st.builds(
    lambda opening, beyond, **others: ComposeRequest(
        opening=opening, length_notes=beyond + len(opening or ()), **others
    ),
    opening=st.builds(any_opening, st.integers(0, 99), st.sampled_from([0, 0, 1, 9])),
    beyond=st.integers(16, 32),
    mood=st.sampled_from(Mood),
    temperature=st.floats(0.1, 2.0),
    top_p=st.floats(0.05, 1.0),
    seed=st.integers(0, 2**32 - 1),
)
pieces = st.builds(Wanted, requests, st.integers(0, 3))


@pytest.fixture(scope="module", params=CHECKPOINTS)
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return CHECKPOINTS[request.param]()


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, checkpoint: Checkpoint) -> tuple[Slots, Slots]:
    crowd, single = KINDS[request.param]
    return crowd(checkpoint), single(checkpoint)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> None:
    torch.set_num_threads(1)


@given(wanted=st.lists(pieces, min_size=2, max_size=24), schedule=st.integers(0, 2**32))
@settings(max_examples=5, deadline=None)
def test_in_slots(kind: tuple[Slots, Slots], wanted: list[Wanted], schedule: int) -> None:
    slots, single = kind
    chance = random.Random(schedule)
    waiting, running, done = wanted.copy(), dict[int, Wanted](), list[tuple[Wanted, IntArray]]()
    if isinstance(slots, NativeSlots):  # which writes so many in a moment
        waiting[0] = replace(waiting[0], request=replace(waiting[0].request, length_notes=_WRAPS))
    while waiting or running:
        for _ in range(chance.randint(0, 8)):
            slot = chance.randrange(slots.count)
            if waiting and (slot not in running or chance.random() < 0.05):  # now and then the place of another
                running[slot] = waiting.pop()
                running[slot].begin(slots, slot)
        if running and chance.random() < 0.2:
            slots.stop(chance.choice(sorted(running)))
        slots.run(chance.choice([1, 3, 12, 200]))
        for slot in [slot for slot in running if slots.finished()[slot]]:
            piece = running.pop(slot)
            done.append((piece, slots.tokens(slot)))
    for piece, tokens in done[:: 1 if isinstance(slots, NativeSlots) else 4]:
        alone = piece.alone(single)
        assert len(alone) == piece.request.length_notes
        np.testing.assert_array_equal(tokens, alone[: len(tokens)])  # of one that was stopped, its beginning


@pytest.mark.parametrize("count", [1, 3, 40])
@given(wanted=st.lists(pieces, min_size=2, max_size=24), schedule=st.integers(0, 2**32))
@settings(max_examples=3, deadline=None)
def test_in_a_batcher(checkpoint: Checkpoint, count: int, wanted: list[Wanted], schedule: int) -> None:
    chance, single = random.Random(schedule), NativeSlots(checkpoint, 1)
    batcher = Batcher(partial(NativeSlots, checkpoint, count))
    tickets, cancelled = [], set()
    for piece in wanted:
        heard = chance.choice([None, lambda _: None])
        takes = range(piece.attempt, piece.attempt + chance.randint(1, 3))
        tickets.append(batcher.submit(piece.request, plan(piece.request), takes=takes, on_written=heard))
        if chance.random() < 0.3:
            cancelled.add(chance.choice(tickets))
            batcher.cancel(chance.choice([*cancelled]))
        time.sleep(chance.choice([0, 0, 0.001, 0.01]))
    for piece, ticket in zip(wanted, tickets, strict=True):
        try:
            for take, tokens in zip(ticket.takes, ticket.future.result(60), strict=True):
                np.testing.assert_array_equal(tokens, replace(piece, attempt=take).alone(single))
        except Cancelled:
            assert ticket in cancelled
    batcher.close()


@pytest.mark.parametrize("schedule", range(2))
def test_in_a_process_that_is_killed_again_and_again(schedule: int) -> None:
    checkpoint, chance = CHECKPOINTS["shipped"](), random.Random(schedule)
    judge = Judge.of(checkpoint, Index.load(DEFAULT))
    here = BestOf(partial(NativeSlots, checkpoint, 1), judge)
    writer = WriterProcess(checkpoint, judge, chance.choice([5, 64]), "cpu")
    wishes, cancelled = [], set()
    for n in range(12):
        request = ComposeRequest(
            length_notes=chance.choice([16, 40, 400]),
            seed=n,
            mood=chance.choice(list(Mood)),
            opening=any_opening(n, chance.choice([0, 7])),
        )
        wishes.append(writer.submit(request, plan(request)))
        if chance.random() < 0.2:
            cancelled.add(chance.choice(wishes))
            writer.cancel(chance.choice([*cancelled]))
        if n % 4 == 3:  # three times, which it forgives
            time.sleep(chance.uniform(0, 3))
            if writer.pid is not None:  # else the last one was killed a moment ago
                os.kill(writer.pid, chance.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV]))
    for wish in wishes:
        try:
            served = wish.future.result(120)
        except Cancelled:
            assert wish in cancelled
        else:
            assert served == here.submit(wish.request, plan(wish.request)).future.result(60)
    writer.close()
    here.close()
