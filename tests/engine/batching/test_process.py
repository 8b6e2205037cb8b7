from __future__ import annotations

import dataclasses
import multiprocessing
import os
import pickle
import pickletools
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.context import SpawnProcess
from pathlib import Path
from queue import SimpleQueue

import numpy as np
import pytest

from data.opening import Opening
from engine.batching import writing
from engine.batching.best_of import BestOf, Wish
from engine.batching.native import NativeSlots
from engine.batching.process import WriterProcess, _post
from engine.batching.slots import DeviceLost, Slots, ways
from engine.batching.writing import Order
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled, EngineClosed, SetupProblem
from engine.originality import Index
from engine.plan import Plan, plan
from engine.takes import Chosen, Judge
from engine.types import ComposeRequest
from tests.engine.batching.making import Deed, Sabotage


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
    assert writer.written_by == here.written_by == "CPU (int8)"
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
    broken = dataclasses.replace(checkpoint, sidecar={})  # it dies looking for its limits
    writer = WriterProcess(broken, judge, 2, "cpu")
    request = ComposeRequest(length_notes=40, seed=1)
    assert isinstance(writer.submit(request, plan(request)).future.exception(120), SetupProblem)
    writer.close()


class Poisoned(NativeSlots):
    """As on a GPU that fails after a few notes, which no process survives that has used it."""

    calls = 0
    problem: type[Exception] = DeviceLost

    def run(self, steps: int) -> int:
        self.calls += 1
        if self.calls > 2:
            raise self.problem("CUDA error: an illegal memory access was encountered")
        return super().run(min(steps, 5))


class Full(Poisoned):
    """As where the machine has no memory left."""

    problem = MemoryError


def give_a_gpu_that_fails(kind: type[Poisoned], failing: int, begun: int) -> None:
    def with_a_gpu(checkpoint: Checkpoint, count: int, device: str | None) -> Iterator[Callable[[], Slots]]:
        if device != "cpu":
            yield partial(kind if begun < failing else NativeSlots, checkpoint, count)
        yield from ways(checkpoint, count, "cpu")

    writing.ways = with_a_gpu  # type: ignore[assignment]


def die(times: int, begun: int) -> None:
    if begun < times:
        os.kill(os.getpid(), signal.SIGKILL)


def stop_in_the_middle_of_a_word(begun: int) -> None:
    def say(mouth: writing.Mouth, *_: object) -> None:
        os.write(mouth.connection.fileno(), struct.pack("!i", 1000) + b"a thousand bytes, of which these come")
        os.kill(os.getpid(), signal.SIGSTOP)

    if begun == 0:
        writing.Mouth.say = say  # type: ignore[method-assign]


def let_the_judge_have_no_memory(begun: int) -> None:
    def choose(*_: object) -> Chosen:
        raise MemoryError

    if begun == 0:
        Judge.choose = choose  # type: ignore[assignment,method-assign]


def judge_for_ever(_: int) -> None:
    def choose(*_: object) -> None:
        time.sleep(600)

    Judge.choose = choose  # type: ignore[assignment,method-assign]


def test_a_process_ends_with_its_pipe_whatever_its_threads_do(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=writing.write_notes, args=(theirs,), daemon=True)
    process.start()
    theirs.close()
    request = ComposeRequest(length_notes=16, seed=1)
    ours.send_bytes(pickle.dumps((checkpoint, Sabotage(judge, tmp_path, judge_for_ever), 16, "cpu")))
    ours.send((0, (request, plan(request))))
    while ours.recv() != (0, 16):
        pass
    ours.close()
    process.join(20)
    assert process.exitcode == 0
    process.kill()


@pytest.mark.parametrize(("kind", "failing", "processes"), [(Poisoned, 1, 2), (Poisoned, 9, 3), (Full, 1, 2)])
def test_slots_that_fail_are_had_again_by_another_process_and_a_gpu_in_the_end_not_at_all(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path, kind: type[Poisoned], failing: int, processes: int
) -> None:
    sabotaged = Sabotage(judge, tmp_path, partial(give_a_gpu_that_fails, kind, failing))
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


@pytest.mark.parametrize("deed", [stop_in_the_middle_of_a_word, let_the_judge_have_no_memory])
def test_a_piece_survives_a_process_that(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: Deed
) -> None:
    monkeypatch.setattr("engine.batching.process._BEGIN_S", 6.0)
    writer = WriterProcess(checkpoint, Sabotage(judge, tmp_path, deed), 16, "cpu")  # type: ignore[arg-type]
    request = ComposeRequest(length_notes=40, seed=1)
    wish = writer.submit(request, plan(request))
    here = BestOf(partial(NativeSlots, checkpoint, 16), judge)
    assert wish.future.result(60) == here.submit(request, plan(request)).future.result(60)
    assert len(list(tmp_path.iterdir())) == 2
    writer.close()
    here.close()


def test_after_too_many_deaths_those_who_wait_are_told_and_the_next_is_served(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.batching.process._DEATHS_MAX", 1)
    writer = WriterProcess(checkpoint, Sabotage(judge, tmp_path, partial(die, 2)), 16, "cpu")  # type: ignore[arg-type]
    request = ComposeRequest(length_notes=16, seed=1)
    assert isinstance(writer.submit(request, plan(request)).future.exception(60), SetupProblem)
    time.sleep(0.2)
    assert len(list(tmp_path.iterdir())) == 2  # nothing is tried while nothing is wanted
    assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 16
    writer.close()


POISON = 666


def die_of_a_poisonous_piece(_: int) -> None:
    submit = BestOf.submit

    def taste(writer: BestOf, request: ComposeRequest, decided: Plan, **others: Callable[[int], None]) -> Wish:
        if request.seed == POISON:
            os.kill(os.getpid(), signal.SIGKILL)
        return submit(writer, request, decided, **others)

    BestOf.submit = taste  # type: ignore[assignment,method-assign]


def test_a_poisonous_piece_takes_no_other_with_it(
    checkpoint: Checkpoint, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.batching.process._DEATHS_MAX", 2)
    writer = WriterProcess(checkpoint, Sabotage(judge, tmp_path, die_of_a_poisonous_piece), 16, "cpu")  # type: ignore[arg-type]
    wanted = [ComposeRequest(length_notes=16, seed=seed) for seed in (1, POISON, 2, POISON, 3)]
    wishes = [writer.submit(request, plan(request)) for request in wanted[:4]]
    for wish in (wishes[1], wishes[3]):
        assert isinstance(wish.future.exception(120), SetupProblem)
    wishes.append(writer.submit(wanted[4], plan(wanted[4])))
    assert [len(wishes[n].future.result(60).score.notes) for n in (0, 2, 4)] == [16, 16, 16]
    assert len(list(tmp_path.iterdir())) == 5  # two died over all of them, two over one alone
    writer.close()


def die_of_the_end_of_a_poisonous_piece(_: int) -> None:
    """Before anybody hears of it."""
    submit = BestOf.submit

    def taste(writer: BestOf, request: ComposeRequest, decided: Plan, **others: Callable[[int], None]) -> Wish:
        wish = submit(writer, request, decided, **others)
        if request.seed == POISON:
            wish.future.add_done_callback(lambda _: os.kill(os.getpid(), signal.SIGKILL))
        return wish

    BestOf.submit = taste  # type: ignore[assignment,method-assign]


def test_a_poisonous_piece_is_given_up_though_others_are_finished(
    tmp_path: Path, checkpoint: Checkpoint, judge: Judge
) -> None:
    writer = WriterProcess(checkpoint, Sabotage(judge, tmp_path, die_of_the_end_of_a_poisonous_piece), 16, "cpu")  # type: ignore[arg-type]
    request = ComposeRequest(length_notes=2000, seed=POISON, temperature=2.0)
    poison = writer.submit(request, plan(request))
    finished, until = 0, time.monotonic() + 60
    while not poison.future.done() and time.monotonic() < until:
        other = ComposeRequest(length_notes=16, seed=finished)
        writer.submit(other, plan(other)).future.result(60)
        finished += 1
    with pytest.raises(SetupProblem, match="crashed several times"):
        poison.future.result(0)
    assert finished >= 2
    writer.close()


def test_a_piece_that_waits_for_another_to_be_written_alone_is_cancelled_at_once(writer: WriterProcess) -> None:
    request = ComposeRequest(length_notes=16, seed=1)
    writer._alone = 999
    waiting = writer.submit(request, plan(request))
    writer.cancel(waiting)
    assert isinstance(waiting.future.exception(0), Cancelled)
    wishes = [writer.submit(request, plan(request)) for request in (ComposeRequest(length_notes=2000, seed=1), request)]
    with writer._changed:
        wishes[0].deaths = 2
        writer._order_all()
    writer.cancel(wishes[0])  # the one that is written alone: the other is next
    assert len(wishes[1].future.result(60).score.notes) == 16


def test_where_there_is_no_room_for_a_process_it_is_tried_again(
    writer: WriterProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.batching.process._PAUSE_S", 0.05)
    request = ComposeRequest(length_notes=16, seed=1)
    writer.submit(request, plan(request)).future.result(60)
    full, start = [True, True], SpawnProcess.start

    def start_unless_full(process: SpawnProcess) -> None:
        if full:
            full.pop()
            raise BlockingIOError(11, "Resource temporarily unavailable")
        start(process)

    monkeypatch.setattr(SpawnProcess, "start", start_unless_full)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 16
    assert not full


def test_a_process_that_begins_or_hangs_holds_up_nobody_who_cancels(writer: WriterProcess) -> None:
    request = ComposeRequest(length_notes=2000, seed=1)
    begun = threading.Event()
    wish = writer.submit(request, plan(request), on_written=lambda _: begun.set())
    writer.cancel(wish)  # it has not said a word yet
    assert isinstance(wish.future.exception(0), Cancelled)
    wish = writer.submit(request, plan(request), on_written=lambda _: begun.set())
    assert begun.wait(60)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGSTOP)
    writer.cancel(wish)
    assert isinstance(wish.future.exception(0), Cancelled)
    os.kill(writer.pid, signal.SIGCONT)
    request = ComposeRequest(length_notes=16, seed=1)
    assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 16


@pytest.mark.parametrize("name", ["sampler-ear", "sampler-post"])
def test_where_there_is_no_room_for_a_thread_it_is_tried_again(
    writer: WriterProcess, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Systems count threads as processes: of the last few there may be one for the process and none for its threads."""
    monkeypatch.setattr("engine.batching.process._PAUSE_S", 0.05)
    request = ComposeRequest(length_notes=16, seed=1)
    writer.submit(request, plan(request)).future.result(60)
    full, start = [True, True], threading.Thread.start

    def start_unless_full(thread: threading.Thread) -> None:
        if full and thread.name == name:
            full.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_unless_full)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    time.sleep(0.5)  # nobody waits for anything meanwhile
    assert len(writer.submit(request, plan(request)).future.result(60).score.notes) == 16
    assert not full
    assert [child.pid for child in multiprocessing.active_children() if child.name == "sampler"] == [writer.pid]


def test_arrays_are_not_copied_once_more_to_be_sent(checkpoint: Checkpoint, judge: Judge) -> None:
    ours, theirs = multiprocessing.Pipe()
    orders: SimpleQueue[tuple[int, Order | None] | None] = SimpleQueue()
    orders.put(None)
    posting = threading.Thread(target=_post, args=(ours, (checkpoint, judge, 16, "cpu"), orders))
    posting.start()
    sent = theirs.recv_bytes()
    posting.join()
    assert next(pickletools.genops(sent))[1] == pickle.HIGHEST_PROTOCOL


def test_nobody_is_held_up_while_a_process_is_replaced(writer: WriterProcess) -> None:
    request = ComposeRequest(length_notes=16, seed=1)
    writer.submit(request, plan(request)).future.result(60)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    longest_s, wishes = 0.0, []
    while not wishes or not wishes[0].future.done():
        started = time.monotonic()
        wishes.append(writer.submit(request, plan(request)))
        longest_s = max(longest_s, time.monotonic() - started)
        time.sleep(0.1)
    assert longest_s < 0.3  # a new process takes seconds to come
