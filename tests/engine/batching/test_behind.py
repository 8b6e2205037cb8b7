"""A batcher whose device is behind it, and fails."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.tokens import IntArray
from engine.batching.account import Account
from engine.batching.batcher import Batcher, Ticket
from engine.errors import Cancelled
from engine.plan import plan
from engine.types import ComposeRequest


class Behind(Account):
    """Zeros in two slots, sixteen in each at a call; the device is two calls behind."""

    name, chunk_notes, behind = "late", 32, 2

    def __init__(self, lost_over: int | None = None) -> None:
        super().__init__(2)
        self._lost_over = lost_over

    def begin(self, slot: int, request: ComposeRequest, *_: object, **__: object) -> None:
        self._begins(slot, request.length_notes)

    def run(self, steps: int) -> int:
        self._stopped()
        before, self._at = self._at, np.minimum(self._at + steps, self._end)
        return int(self._at.sum() - before.sum())

    def tokens(self, slot: int) -> IntArray:
        return np.zeros((self.written(slot), 5), np.int64)

    def take(self, slots: list[int]) -> Callable[[], list[IntArray]]:
        taken = [self.tokens(slot) for slot in slots]

        def arrived() -> list[IntArray]:
            if self._lost_over in slots:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            return taken

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
