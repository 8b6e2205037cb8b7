from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from data.opening import Opening
from engine.batching import process
from engine.batching.best_of import BestOf
from engine.batching.native import NativeSlots
from engine.batching.process import WriterProcess
from engine.batching.slots import Slots, ways
from engine.batching.torch_slots import DeviceLost
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


class Poisoned(NativeSlots):
    """As on a GPU that fails after a few notes, which no process survives that has used it."""

    calls = 0

    def run(self, steps: int) -> int:
        self.calls += 1
        if self.calls > 2:
            raise DeviceLost("CUDA error: an illegal memory access was encountered")
        return super().run(min(steps, 5))


@dataclass
class Sabotage:
    """A judge in whose process the first way to make slots is a GPU that fails, in the first processes."""

    judge: Judge
    marks: Path  # a file for each process that began
    failing: int

    def __reduce__(self) -> tuple[object, ...]:
        return _sabotage, (self.judge, self.marks, self.failing)


def _sabotage(judge: Judge, marks: Path, failing: int) -> Judge:
    begun = len(list(marks.iterdir()))
    (marks / f"{begun} {os.getpid()}").touch()

    def with_a_gpu(checkpoint: Checkpoint, count: int, device: str | None) -> Iterator[Callable[[], Slots]]:
        if device != "cpu":
            yield partial(Poisoned if begun < failing else NativeSlots, checkpoint, count)
        yield from ways(checkpoint, count, "cpu")

    process.ways = with_a_gpu  # type: ignore[assignment]  # in the child, which has no other door
    return judge


@pytest.mark.parametrize(("failing", "processes"), [(1, 2), (9, 3)])
def test_a_gpu_that_fails_is_used_again_by_another_process_and_in_the_end_not_at_all(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path, failing: int, processes: int
) -> None:
    sabotaged = Sabotage(judge, tmp_path, failing)
    writer = WriterProcess(checkpoint, sabotaged, 40)  # type: ignore[arg-type]  # a judge in the child
    here = BestOf(partial(NativeSlots, checkpoint, 16), judge)
    wanted = [ComposeRequest(length_notes=60, seed=n) for n in range(4)]
    wishes = [writer.submit(request, plan(request)) for request in wanted]
    for request, wish in zip(wanted, wishes, strict=True):
        assert wish.future.result(120) == here.submit(request, plan(request)).future.result(60)
    assert len(list(tmp_path.iterdir())) == processes
    assert writer._device == ("cpu" if failing > 2 else None)
    writer.close()
    here.close()


def test_deaths_are_forgiven_when_pieces_were_finished_between_them(
    writer: WriterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.batching.process._DEATHS_MAX", 1)
    for seed in range(3):
        request = ComposeRequest(length_notes=16, seed=seed)
        assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 16
        pid = writer.pid
        assert pid is not None
        if seed < 2:
            os.kill(pid, signal.SIGKILL)
