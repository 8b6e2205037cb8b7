from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from data.opening import Opening
from engine.batching.native import NativeSlots
from engine.batching.process import BatcherProcess
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled, EngineClosed
from engine.plan import plan
from engine.types import ComposeRequest


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


@pytest.fixture
def batcher(checkpoint: Checkpoint) -> Iterator[BatcherProcess]:
    opened = BatcherProcess(checkpoint, 4, "cpu")
    yield opened
    opened.close()


def test_pieces_survive_a_kill_and_are_what_they_would_have_been(
    checkpoint: Checkpoint, batcher: BatcherProcess
) -> None:
    opening = Opening.of(np.array([[2, 0, 40, 10, 8], [2, 6, 44, 12, 8]]))
    wanted = [
        ComposeRequest(length_notes=2000 if n < 6 else 40, seed=n, opening=opening if n % 2 else None)
        for n in range(12)
    ]
    begun = threading.Event()
    tickets = [batcher.submit(request, plan(request), on_written=lambda _: begun.set()) for request in wanted]
    assert begun.wait(60)
    first = batcher.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    slots = NativeSlots(checkpoint, 1)
    for request, ticket in zip(wanted, tickets, strict=True):
        slots.begin(0, request, plan(request), opening=opening.tokens if request.opening else None)
        slots.run(2000)
        np.testing.assert_array_equal(ticket.future.result(60), slots.tokens(0))
    assert batcher.pid != first

    cancelled = batcher.submit(wanted[0], plan(wanted[0]))
    others = [batcher.submit(wanted[1], plan(wanted[1])) for _ in range(30)]
    batcher.cancel(others[-1])
    batcher.cancel(cancelled)
    assert isinstance(others[-1].future.exception(60), Cancelled)
    batcher.close()
    assert all(ticket.future.done() for ticket in (cancelled, *others))
    with pytest.raises(EngineClosed):
        batcher.submit(wanted[0], plan(wanted[0]))


def test_a_process_that_hangs_is_replaced(batcher: BatcherProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.batching.process._HANG_S", 0.5)
    request = ComposeRequest(length_notes=40, seed=1)
    batcher.submit(request, plan(request)).future.result(60)
    first = batcher.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    assert len(batcher.submit(request, plan(request)).future.result(60)) == 40
    assert batcher.pid != first


def test_one_that_dies_again_and_again_is_given_up(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.batching.process._DEATHS_MAX", 0)
    broken = Checkpoint("broken-0", checkpoint.model, {})  # it dies looking for its limits
    batcher = BatcherProcess(broken, 2, "cpu")
    request = ComposeRequest(length_notes=40, seed=1)
    assert isinstance(batcher.submit(request, plan(request)).future.exception(120), EngineClosed)
    batcher.close()
