"""A batcher whose device is behind it, and fails."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from data.tokens import IntArray
from engine.batching import batcher as batching
from engine.batching.batcher import Batcher, Ticket
from engine.errors import Cancelled, EngineClosed
from engine.plan import plan
from engine.types import ComposeRequest
from tests.engine.batching.making import Zeros


class Behind(Zeros):
    """Two slots, sixteen in each at a call; the device is two calls behind."""

    name, chunk_notes, behind = "late", 32, 2

    def __init__(self, lost_over: int | None = None) -> None:
        super().__init__(2)
        self._lost_over = lost_over

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        taken = super().take(slots)

        def arrived() -> list[IntArray]:
            if self._lost_over in slots:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return taken()

        return arrived


def test_what_was_read_before_the_device_was_lost_is_handed_over_though_nothing_is_made_again() -> None:
    devices = [Behind(), Behind(lost_over=1)]
    batcher = Batcher(devices.pop)
    stopped: list[Ticket] = []
    short, long = ComposeRequest(length_notes=16, seed=1), ComposeRequest(length_notes=64, seed=2)
    with batcher._lock:  # so that both begin in one call
        whole = batcher.submit(short, plan(short))
        stopped.append(batcher.submit(long, plan(long), on_written=lambda _: batcher.cancel(stopped[0])))
    assert isinstance(stopped[0].future.exception(10), Cancelled)
    assert whole.future.result(10)[0].shape == (16, 5)
    assert not devices
    batcher.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_takes_that_are_cancelled_while_the_thread_fails_are_answered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    device = Behind()
    device.behind = 0
    batcher = Batcher(lambda: device)
    cancelling, tickets, told = threading.Event(), list[Ticket](), list[str]()

    def late() -> Cancelled:
        cancelling.set()
        batcher._thread.join(10)
        return Cancelled()

    def cancel() -> None:
        try:
            batcher.cancel(tickets[1])  # one of its takes was read, the other has no slot
        finally:
            told.append(type(tickets[1].future.exception(10)).__name__)

    def fail(_: int) -> None:
        canceller.start()
        cancelling.wait(10)
        raise ZeroDivisionError

    monkeypatch.setattr(batching, "Cancelled", late)
    canceller = threading.Thread(target=cancel)
    request = ComposeRequest(length_notes=16, seed=1)
    with batcher._lock:
        for takes, heard in ((1, fail), (2, None)):
            tickets.append(batcher.submit(request, plan(request), takes=range(takes), on_written=heard))
    assert isinstance(tickets[0].future.exception(10), EngineClosed)
    canceller.join(10)
    assert told == ["Cancelled"]
