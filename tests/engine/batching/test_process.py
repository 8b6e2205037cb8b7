from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from data.opening import Opening
from engine.batching.best_of import BestOf
from engine.batching.native import NativeSlots
from engine.batching.process import WriterProcess
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled, EngineClosed
from engine.originality import Index
from engine.plan import plan
from engine.takes import Judge
from engine.types import ComposeRequest


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


@pytest.fixture(scope="module")
def judge(checkpoint: Checkpoint) -> Judge:
    return Judge.of(checkpoint, Index.load(DEFAULT))


@pytest.fixture
def writer(checkpoint: Checkpoint, judge: Judge) -> Iterator[WriterProcess]:
    opened = WriterProcess(checkpoint, judge, 16, "cpu")
    yield opened
    opened.close()


def test_pieces_survive_a_kill_and_are_what_they_would_have_been(
    checkpoint: Checkpoint, judge: Judge, writer: WriterProcess
) -> None:
    here = BestOf(partial(NativeSlots, checkpoint, 16), judge)
    opening = Opening.of(np.array([[2, 0, 40, 10, 8], [2, 6, 44, 12, 8]]))
    wanted = [
        ComposeRequest(length_notes=2000 if n < 4 else 40, seed=n, opening=opening if n % 2 else None) for n in range(8)
    ]
    begun = threading.Event()
    wishes = [writer.submit(request, plan(request), on_written=lambda _: begun.set()) for request in wanted]
    assert begun.wait(60)
    first = writer.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    for request, wish in zip(wanted, wishes, strict=True):
        assert wish.future.result(60) == here.submit(request, plan(request)).future.result(60)
    assert writer.pid != first
    here.close()

    cancelled = writer.submit(wanted[0], plan(wanted[0]))
    others = [writer.submit(wanted[1], plan(wanted[1])) for _ in range(30)]
    writer.cancel(others[-1])
    writer.cancel(cancelled)
    assert isinstance(others[-1].future.exception(60), Cancelled)
    writer.close()
    assert all(wish.future.done() for wish in (cancelled, *others))
    with pytest.raises(EngineClosed):
        writer.submit(wanted[0], plan(wanted[0]))


def test_a_process_that_hangs_is_replaced(writer: WriterProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.batching.process._HANG_S", 0.5)
    request = ComposeRequest(length_notes=40, seed=1)
    writer.submit(request, plan(request)).future.result(60)
    first = writer.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 40
    assert writer.pid != first


def test_one_that_dies_again_and_again_is_given_up(
    checkpoint: Checkpoint, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.batching.process._DEATHS_MAX", 0)
    broken = Checkpoint("broken-0", checkpoint.model, {})  # it dies looking for its limits
    writer = WriterProcess(broken, judge, 2, "cpu")
    request = ComposeRequest(length_notes=40, seed=1)
    assert isinstance(writer.submit(request, plan(request)).future.exception(120), EngineClosed)
    writer.close()
