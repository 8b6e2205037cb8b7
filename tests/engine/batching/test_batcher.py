from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.tokens import IntArray
from engine.batching.batcher import Batcher, Ticket
from engine.batching.native import NativeSlots
from engine.batching.slots import Slots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.errors import Cancelled, EngineClosed
from engine.plan import Plan, plan
from engine.types import ComposeRequest
from tests.engine.batching.making import Zeros


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


@pytest.fixture
def batcher(checkpoint: Checkpoint) -> Iterator[Batcher]:
    opened = Batcher(partial(NativeSlots, checkpoint, 4))
    yield opened
    opened.close()


def alone(checkpoint: Checkpoint, request: ComposeRequest, attempt: int = 0) -> IntArray:
    slots = NativeSlots(checkpoint, 1)
    slots.begin(0, request, plan(request), attempt=attempt)
    while slots.run(100):
        pass
    return slots.tokens(0)


def test_more_pieces_than_slots_are_all_written_and_none_knows_of_the_others(
    checkpoint: Checkpoint, batcher: Batcher
) -> None:
    wanted = [ComposeRequest(length_notes=50 + 37 * n % 300, seed=n) for n in range(15)]
    tickets = [batcher.submit(request, plan(request)) for request in wanted]
    for request, ticket in zip(wanted, tickets, strict=True):
        np.testing.assert_array_equal(ticket.future.result(30)[0], alone(checkpoint, request))


def test_takes_of_a_request_come_together_and_in_order(checkpoint: Checkpoint, batcher: Batcher) -> None:
    wanted = [ComposeRequest(length_notes=50 + 37 * n % 300, seed=n) for n in range(4)]
    heard: list[int] = []
    tickets = [
        batcher.submit(request, plan(request), takes=range(n, n + 7), on_written=heard.append if n == 3 else None)
        for n, request in enumerate(wanted)
    ]
    for n, (request, ticket) in enumerate(zip(wanted, tickets, strict=True)):
        for take, tokens in zip(range(n, n + 7), ticket.future.result(30), strict=True):
            np.testing.assert_array_equal(tokens, alone(checkpoint, request, take))
    assert heard == sorted(heard)
    assert heard.count(wanted[3].length_notes) >= 1
    assert heard[-1] == wanted[3].length_notes


def test_takes_are_cancelled_together_whether_they_have_begun_or_not(checkpoint: Checkpoint) -> None:
    slots = NativeSlots(checkpoint, 3)
    batcher = Batcher(lambda: slots)
    long, short = ComposeRequest(length_notes=2000, seed=1), ComposeRequest(length_notes=16, seed=2)
    some, others = (batcher.submit(long, plan(long), takes=range(5)) for _ in range(2))
    last = batcher.submit(short, plan(short), takes=range(2))
    while not slots.written(2):
        time.sleep(0.001)
    batcher.cancel(others)  # none of them has begun
    assert isinstance(others.future.exception(0), Cancelled)
    batcher.cancel(some)
    batcher.cancel(some)
    assert isinstance(some.future.exception(10), Cancelled)
    for take, tokens in enumerate(last.future.result(10)):
        np.testing.assert_array_equal(tokens, alone(checkpoint, short, take))
    batcher.close()


class Late(NativeSlots):
    """A device that is two calls behind: what was taken is not there before."""

    def __init__(self, checkpoint: Checkpoint, count: int) -> None:
        super().__init__(checkpoint, count)
        self.behind, self.calls, self.waited = 2, 0, 0

    def run(self, steps: int) -> int:
        self.calls += 1
        return super().run(min(steps, 16))

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        taken, there = super().take(slots), self.calls + self.behind

        def arrived() -> list[IntArray]:
            self.waited += bool(slots) and self.calls < there
            return taken()

        return arrived


def test_a_device_that_is_behind_is_not_waited_for_while_there_is_something_to_write(checkpoint: Checkpoint) -> None:
    slots = Late(checkpoint, 4)
    batcher = Batcher(lambda: slots)
    wanted = [ComposeRequest(length_notes=64, seed=n) for n in range(20)]  # four of them always end together
    tickets = [batcher.submit(request, plan(request)) for request in wanted]
    for request, ticket in zip(wanted, tickets, strict=True):
        np.testing.assert_array_equal(ticket.future.result(30)[0], alone(checkpoint, request))
    batcher.close()
    assert slots.waited <= 2  # for the last, and for the first if the others had not been asked for by then


def test_a_cancelled_piece_makes_room_and_the_others_go_on(checkpoint: Checkpoint) -> None:
    batcher = Batcher(partial(NativeSlots, checkpoint, 1))
    long = ComposeRequest(length_notes=2000, seed=1)
    begun = threading.Event()
    tickets = [batcher.submit(long, plan(long), on_written=lambda _: begun.set()) for _ in range(40)]
    short = ComposeRequest(length_notes=16, seed=2)
    last = batcher.submit(short, plan(short))
    assert begun.wait(10)
    for ticket in tickets:
        batcher.cancel(ticket)
    np.testing.assert_array_equal(last.future.result(10)[0], alone(checkpoint, short))
    stopped = [ticket for ticket in tickets if ticket.future.exception(10) is not None]
    assert len(stopped) >= 38  # one or two may have been complete
    assert all(isinstance(ticket.future.exception(), Cancelled) for ticket in stopped)
    batcher.cancel(last)  # nothing happens
    batcher.close()


def test_progress_grows_and_ends_with_the_whole_piece(batcher: Batcher) -> None:
    request = ComposeRequest(length_notes=2000, seed=3)
    heard: list[int] = []
    batcher.submit(request, plan(request), on_written=heard.append).future.result(30)
    assert heard == sorted(heard)
    assert heard[-1] == 2000


def test_closing_tells_everybody_and_takes_nothing_more(checkpoint: Checkpoint) -> None:
    batcher = Batcher(partial(NativeSlots, checkpoint, 2))
    request = ComposeRequest(length_notes=2000, seed=3)
    tickets = [batcher.submit(request, plan(request)) for _ in range(60)]
    batcher.close()
    batcher.close()
    assert all(ticket.future.done() for ticket in tickets)
    assert isinstance(tickets[-1].future.exception(), EngineClosed)
    for ticket in tickets:
        batcher.cancel(ticket)  # nothing happens
    with pytest.raises(EngineClosed):
        batcher.submit(request, plan(request))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nobody_waits_for_ever_whatever_happens_to_the_thread(batcher: Batcher) -> None:
    request = ComposeRequest(length_notes=2000, seed=3)

    def fail(_: int) -> None:
        raise ZeroDivisionError

    tickets = [batcher.submit(request, plan(request), on_written=heard) for heard in (fail, None, None, None, None)]
    assert all(isinstance(ticket.future.exception(30), EngineClosed) for ticket in tickets)
    with pytest.raises(EngineClosed):
        batcher.submit(request, plan(request))


class Failing(NativeSlots):
    """A device that is lost after a few calls."""

    calls = 0

    def run(self, steps: int) -> int:
        self.calls += 1
        if self.calls > 3:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        return super().run(min(steps, 5))


def test_when_the_device_is_lost_every_piece_is_made_again_elsewhere(checkpoint: Checkpoint) -> None:
    devices: list[Slots] = [NativeSlots(checkpoint, 3), Failing(checkpoint, 3)]
    devices[0].name = "another"
    batcher = Batcher(devices.pop)
    first = batcher.written_by
    wanted = [ComposeRequest(length_notes=60, seed=n) for n in range(7)]
    tickets = [batcher.submit(request, plan(request), takes=range(1 + n % 5)) for n, request in enumerate(wanted)]
    for request, ticket in zip(wanted, tickets, strict=True):
        for take, tokens in zip(ticket.takes, ticket.future.result(30), strict=True):
            np.testing.assert_array_equal(tokens, alone(checkpoint, request, take))
    assert (first, batcher.written_by) == (NativeSlots(checkpoint, 1).name, "another")
    batcher.close()


def test_when_no_device_is_left_everybody_is_told(checkpoint: Checkpoint) -> None:
    devices: list[Slots] = [Failing(checkpoint, 3)]
    batcher = Batcher(devices.pop)
    request = ComposeRequest(length_notes=600, seed=1)

    def ask_five() -> None:
        for ticket in [batcher.submit(request, plan(request)) for _ in range(5)]:
            ticket.future.result(30)

    with pytest.raises(EngineClosed):  # from a ticket, or from submitting when all is lost already
        ask_five()
    with pytest.raises(EngineClosed):
        batcher.submit(request, plan(request)).future.result(30)
    batcher.close()


def test_slots_that_failed_are_gone_before_others_are_made(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    """Else a GPU that is full would stay full."""
    caplog.set_level(logging.CRITICAL + 1, "engine.batching.batcher")  # a record would keep the frames of the failure
    known: list[weakref.ref[Slots]] = []
    failed: list[type[Exception]] = []

    def make() -> Slots:
        assert all(each() is None for each in known)
        if known:
            assert batcher.written_by  # an administrator may ask in this moment
        slots = NativeSlots(checkpoint, 3) if known else Failing(checkpoint, 3)
        known.append(weakref.ref(slots))
        return slots

    batcher = Batcher(make, lambda problem: failed.append(type(problem)))
    request = ComposeRequest(length_notes=60, seed=1)
    np.testing.assert_array_equal(
        batcher.submit(request, plan(request)).future.result(30)[0], alone(checkpoint, request)
    )
    assert len(known) == 2
    assert failed == [RuntimeError]
    batcher.close()


class Noting(NativeSlots):
    """Notes which slots are taken."""

    def __init__(self, checkpoint: Checkpoint, count: int) -> None:
        super().__init__(checkpoint, count)
        self.taken: list[int] = []

    def begin(
        self, slot: int, request: ComposeRequest, plan: Plan, *, attempt: int = 0, opening: IntArray | None = None
    ) -> None:
        self.taken.append(slot)
        super().begin(slot, request, plan, attempt=attempt, opening=opening)


def test_the_lowest_slots_are_taken_first(checkpoint: Checkpoint) -> None:
    """Whatever is free above them is in blocks that need not be computed."""
    slots = Noting(checkpoint, 50)
    batcher = Batcher(lambda: slots)
    for _ in range(2):
        requests = [ComposeRequest(length_notes=16 + n, seed=n) for n in range(5)]
        for ticket in [batcher.submit(request, plan(request)) for request in requests]:
            ticket.future.result(30)
    batcher.close()
    assert len(slots.taken) == 10
    assert max(slots.taken) <= 4


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="asks Linux how much memory is in use")
def test_a_thousand_pieces_leave_no_more_memory_in_use_than_a_hundred(batcher: Batcher) -> None:
    def write(count: int) -> None:
        wanted = [ComposeRequest(length_notes=40, seed=n) for n in range(count)]
        for ticket in [batcher.submit(request, plan(request), on_written=lambda _: None) for request in wanted]:
            ticket.future.result(60)

    write(100)
    before = resident_bytes()
    write(1000)
    assert resident_bytes() - before < 4e6


def test_a_piece_is_stopped_within_a_few_notes_in_the_middle_of_a_call(checkpoint: Checkpoint) -> None:
    slots = NativeSlots(checkpoint, 16)
    for slot in range(16):
        request = ComposeRequest(length_notes=2000, seed=slot)
        slots.begin(slot, request, plan(request))
    thread = threading.Thread(target=slots.run, args=(2000,))
    thread.start()
    while not slots.written(3):
        time.sleep(0.001)
    slots.stop(3)
    stopped_at = slots.written(3)
    assert stopped_at < 2000
    thread.join()
    assert slots.written(3) <= stopped_at + 1
    assert slots.written(4) == 2000


class Counting(NativeSlots):
    """Counts its calls."""

    calls = 0

    def run(self, steps: int) -> int:
        self.calls += 1
        return super().run(steps)


class Stepwise(Zeros):
    """Zeros; every call waits until it may write, and more than `calls` fail."""

    name, chunk_notes, behind = "stepwise", 32, 0

    def __init__(self, count: int, calls: int = 1000) -> None:
        super().__init__(count)
        self.may_write = threading.Semaphore(0)
        self.begun: list[int] = []  # the lengths of what began
        self.at_work = threading.Event()
        self.before_one_begins: list[Callable[[], None]] = []
        self._calls = calls

    def begin(self, slot: int, request: ComposeRequest, *_: object, **__: object) -> None:
        for deed in self.before_one_begins:
            deed()
        self.before_one_begins.clear()
        self._begins(slot, request.length_notes)
        self.begun.append(request.length_notes)

    def run(self, steps: int) -> int:
        self.at_work.set()
        self._calls -= 1
        if self._calls < 0:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        assert self.may_write.acquire(timeout=10)
        return super().run(steps)


def notes(ticket: Ticket) -> int:
    return len(ticket.future.result(10)[0])


def ask(batcher: Batcher, length: int, **more: Any) -> Ticket:
    request = ComposeRequest(length_notes=length, seed=1)
    return batcher.submit(request, plan(request), **more)


def test_whoever_has_the_slot_of_a_finished_piece_is_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.batching.batcher._TELL_EVERY_S", 0.0)
    slots, told = Stepwise(1), list[int]()
    batcher = Batcher(lambda: slots)
    slots.may_write.release(3)
    first = ask(batcher, 80, on_written=told.append)
    assert notes(first) == 80
    slots.at_work.clear()
    second = ask(batcher, 160)
    assert slots.at_work.wait(10)
    batcher.cancel(first)
    slots.may_write.release(5)
    assert notes(second) == 160
    assert told == [32, 64, 80]
    batcher.close()


def test_progress_is_that_of_the_take_that_began_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.batching.batcher._TELL_EVERY_S", 0.0)
    slots, told = Stepwise(1), list[tuple[int, int]]()
    batcher = Batcher(lambda: slots)
    slots.may_write.release(6)
    assert notes(ask(batcher, 80, takes=range(2), on_written=lambda n: told.append((len(slots.begun), n)))) == 80
    assert told == [(2, 32), (2, 64), (2, 80)]
    batcher.close()


def test_a_piece_is_stopped_that_is_cancelled_before_or_after_it_begins() -> None:
    slots, tickets = Stepwise(2), list[Ticket]()
    batcher = Batcher(lambda: slots)
    with batcher._lock:  # so that both begin in one call
        tickets += [ask(batcher, 2000) for _ in range(2)]
        slots.before_one_begins.append(lambda: batcher.cancel(tickets[0]))
    assert slots.at_work.wait(10)
    batcher.cancel(tickets[1])
    slots.may_write.release()
    assert [type(ticket.future.exception(10)) for ticket in tickets] == [Cancelled, Cancelled]
    assert [slots.written(slot) for slot in range(2)] == [0, 0]
    batcher.close()


def test_what_was_in_the_making_on_a_lost_device_goes_first_on_the_next_and_in_its_order() -> None:
    slots = Stepwise(1)
    devices = [slots, Stepwise(3, calls=0)]
    batcher = Batcher(devices.pop)
    lengths = [16, 17, 18, 19]
    with batcher._lock:
        tickets = [ask(batcher, length, on_written=lambda _: None) for length in lengths]
    slots.may_write.release(4)
    assert [notes(ticket) for ticket in tickets] == slots.begun == lengths
    batcher.close()


def test_nothing_is_computed_while_nothing_is_wanted(checkpoint: Checkpoint) -> None:
    slots = Counting(checkpoint, 2)
    batcher = Batcher(lambda: slots)
    request = ComposeRequest(length_notes=40, seed=1)
    batcher.submit(request, plan(request)).future.result(30)
    calls = slots.calls
    time.sleep(0.05)
    assert 1 <= slots.calls <= calls + 1
    batcher.close()
