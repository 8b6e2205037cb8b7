"""Continuous batching: one thread that keeps the slots full. Pieces join and leave between calls of `Slots.run`.

What a call costs beside the notes does not grow with the slots: it looks at those pieces alone that have ended, and at
those that somebody listens to.
"""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from data.tokens import IntArray
from engine.batching.slots import Slots
from engine.errors import Cancelled, EngineClosed
from engine.plan import Plan
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

SlotsFactory: TypeAlias = Callable[[], Slots]

_TELL_EVERY_S = 0.05


@dataclass(slots=True, eq=False)
class Ticket:
    """One piece in the batch or on its way into it.

    Attributes:
        future: gives [length_notes, 5] int64 tokens; raises Cancelled, or EngineClosed when the batcher was closed.
    """

    request: ComposeRequest
    plan: Plan
    attempt: int
    on_written: Callable[[int], None] | None
    future: Future[IntArray] = field(default_factory=Future)
    slot: int | None = None
    stopped: bool = False


class Batcher:
    """Requests in, tokens out; every method may be called from any thread.

    Args:
        make_slots: gives the slots to work with; asked again for others when these fail, for example because the GPU
            was lost, until it raises. The pieces in the making are then begun again.
        on_failure: called with what failed, before other slots are asked for.
    """

    def __init__(self, make_slots: SlotsFactory, on_failure: Callable[[Exception], None] | None = None) -> None:
        self._make_slots = make_slots
        self._on_failure = on_failure
        self._lock = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, Ticket] = {}
        self._heard: dict[int, Ticket] = {}  # those of `_running` that somebody listens to
        self._ended: list[tuple[Ticket, Callable[[], IntArray]]] = []  # a device may still be writing
        self._written: deque[tuple[Ticket, IntArray]] = deque()  # to be handed over
        self._closing = False
        self._told_at = 0.0  # time.monotonic()
        self._take(make_slots())
        self._thread = threading.Thread(target=self._serve, name="sampler", daemon=True)
        self._thread.start()

    @property
    def slots(self) -> Slots:
        """What the pieces are made in now."""
        return self._slots

    def _take(self, slots: Slots) -> None:
        self._slots = slots
        self._free = list(range(slots.count))  # a heap: the lowest first, since slots may be computed in blocks
        self._occupied = np.zeros(slots.count, np.bool_)

    def submit(
        self,
        request: ComposeRequest,
        plan: Plan,
        *,
        attempt: int = 0,
        on_written: Callable[[int], None] | None = None,
    ) -> Ticket:
        """Have a piece written; first come, first served.

        Args:
            request: what to write.
            plan: of the request.
            attempt: 0, or which of further takes of the same request.
            on_written: called in the batcher's thread with the notes written so far, some times a second and at the
                end; it must return at once.

        Raises:
            EngineClosed: `close` was called.
        """
        ticket = Ticket(request, plan, attempt, on_written)
        ticket.future.set_running_or_notify_cancel()  # from here on `cancel` alone can stop it
        with self._lock:
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            self._waiting.append(ticket)
            self._lock.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop a piece within a few notes; its future then raises Cancelled. Nothing happens to one that is done."""
        with self._lock:
            ticket.stopped = True
            if ticket.slot is not None:
                self._slots.stop(ticket.slot)
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
                ticket.future.set_exception(Cancelled())

    def close(self) -> None:
        """Stop everything and end the thread. Safe to call twice."""
        with self._lock:
            self._closing = True
            for slot in self._running:
                self._slots.stop(slot)
            self._lock.notify()
        self._thread.join()

    def _serve(self) -> None:
        try:
            while (joining := self._next()) is not None:
                if self._write(joining):
                    self._tell()
                    self._settle()
                elif not self._start_again():
                    break
        finally:  # whatever happened, nobody waits for ever
            with self._lock:
                self._closing = True
                for ticket in (*self._unfinished(), *self._waiting):
                    ticket.future.set_exception(EngineClosed("The engine was shut down before the piece was finished."))
                self._running.clear()
                self._ended.clear()
                self._waiting.clear()

    def _next(self) -> list[Ticket] | None:
        """Wait for something to do: the pieces that join; None when the batcher is closed."""
        with self._lock:
            while not (self._closing or self._waiting or self._running or self._ended):
                self._lock.wait()
            return None if self._closing else self._admit()

    def _write(self, joining: list[Ticket]) -> bool:
        """Have some notes of every piece written, and read those that ended before; False when the slots failed."""
        try:
            for ticket in joining:
                self._begin(ticket)
            self._slots.run(max(1, self._slots.chunk_notes // max(1, len(self._running))))
            written = [(ticket, notes()) for ticket, notes in self._ended]
            ended = np.flatnonzero(self._occupied & self._slots.finished()).tolist()
            self._leave({slot: self._slots.take(slot) for slot in ended})
        except Exception as problem:
            log.exception("The note step failed.")
            if self._on_failure is not None:
                self._on_failure(problem)
            return False
        self._written.extend(written)
        return True

    def _leave(self, ended: dict[int, Callable[[], IntArray]]) -> None:
        """Give the slots of ended pieces to the next."""
        with self._lock:
            self._ended = [(self._running.pop(slot), notes) for slot, notes in ended.items()]
            for slot, (ticket, _) in zip(ended, self._ended, strict=True):
                self._heard.pop(slot, None)
                self._occupied[slot] = False
                heapq.heappush(self._free, slot)
                ticket.slot = None

    def _unfinished(self) -> list[Ticket]:
        """All that were admitted and have not been answered; the lock is held."""
        return [*(ticket for ticket, _ in (*self._written, *self._ended)), *self._running.values()]

    def _admit(self) -> list[Ticket]:
        """Give free slots to those who wait; the lock is held."""
        joining = []
        while self._free and self._waiting:
            ticket, slot = self._waiting.popleft(), heapq.heappop(self._free)
            ticket.slot = slot
            self._running[slot] = ticket
            if ticket.on_written is not None:
                self._heard[slot] = ticket
            joining.append(ticket)
        return joining

    def _begin(self, ticket: Ticket) -> None:
        if ticket.slot is not None:
            opening = ticket.request.opening
            tokens = None if opening is None else opening.tokens
            self._slots.begin(ticket.slot, ticket.request, ticket.plan, attempt=ticket.attempt, opening=tokens)
            self._occupied[ticket.slot] = True
            if ticket.stopped:  # between its admission and its beginning, which forgot that
                self._slots.stop(ticket.slot)

    def _tell(self) -> None:
        if self._heard and time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            for slot, ticket in self._heard.items():
                if ticket.on_written is not None:
                    ticket.on_written(self._slots.written(slot))

    def _settle(self) -> None:
        """Give what was written to those who asked. Meanwhile a device writes on."""
        while self._written:
            ticket, tokens = self._written[0]
            if len(tokens) < ticket.request.length_notes:
                ticket.future.set_exception(Cancelled())
            else:
                if ticket.on_written is not None:
                    ticket.on_written(len(tokens))
                ticket.future.set_result(tokens)
            self._written.popleft()

    def _start_again(self) -> bool:
        """Put what was in the making in front of what waits and take other slots; False when there are no others."""
        with self._lock:
            unfinished = self._unfinished()
            log.warning("%d pieces are begun again.", len(unfinished))
            for ticket in reversed(unfinished):
                ticket.slot = None
                if ticket.stopped:
                    ticket.future.set_exception(Cancelled())
                else:
                    self._waiting.appendleft(ticket)
            self._running.clear()
            self._ended.clear()
            self._heard.clear()
            del self._slots  # or others would find its memory taken
        try:
            slots = self._make_slots()
        except Exception:
            log.exception("There is no other way to write notes.")
            return False
        with self._lock:
            self._take(slots)
        return True
