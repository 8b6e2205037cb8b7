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
    """Takes of one request, in the batch or on their way into it.

    Attributes:
        takes: which.
        future: gives them in that order, each [length_notes, 5] int64 tokens; raises Cancelled, or EngineClosed when
            the batcher was closed.
        waiting: those that have no slot yet, the next one last.
        slots: those in which takes are being written.
        written: the tokens of each that has ended.
        left: how many have not ended.
    """

    request: ComposeRequest
    plan: Plan
    takes: range
    on_written: Callable[[int], None] | None
    waiting: list[int]
    left: int
    future: Future[list[IntArray]] = field(default_factory=Future)
    slots: set[int] = field(default_factory=set)
    written: dict[int, IntArray] = field(default_factory=dict)
    stopped: bool = False


_Take: TypeAlias = tuple[Ticket, int]


class Batcher:
    """Requests in, tokens out; every method may be called from any thread.

    Args:
        make_slots: gives the slots to work with; asked again for others when these fail, for example because the GPU
            was lost, until it raises. The pieces in the making are then begun again.
        on_failure: called with what failed, before other slots are asked for.

    Attributes:
        written_by: the name of the slots; of the last ones, where others are being made.
    """

    def __init__(self, make_slots: SlotsFactory, on_failure: Callable[[Exception], None] | None = None) -> None:
        self._make_slots = make_slots
        self._on_failure = on_failure
        self._lock = threading.Condition()
        self._waiting: deque[Ticket] = deque()
        self._running: dict[int, _Take] = {}
        self._heard: dict[int, Callable[[int], None]] = {}  # of those of `_running` that somebody listens to
        # What ended in each of the last calls, which a device may still be writing.
        self._ended: deque[tuple[list[_Take], Callable[[], list[IntArray]]]] = deque()
        self._written: list[tuple[_Take, IntArray]] = []  # to be handed over
        self._over: list[Ticket] = []  # those whose takes have all ended, to be answered
        self._closing = False
        self._told_at = 0.0  # time.monotonic()
        self._take(make_slots())
        self._thread = threading.Thread(target=self._serve, name="sampler", daemon=True)
        self._thread.start()

    def _take(self, slots: Slots) -> None:
        self._slots, self.written_by = slots, slots.name
        self._free = list(range(slots.count))  # a heap: the lowest first, since slots may be computed in blocks
        self._occupied = np.zeros(slots.count, np.bool_)

    def submit(
        self,
        request: ComposeRequest,
        plan: Plan,
        *,
        takes: range = range(1),
        on_written: Callable[[int], None] | None = None,
    ) -> Ticket:
        """Have some takes of a piece written; first come, first served.

        Args:
            request: what to write.
            plan: of the request.
            takes: which, at least one: each has randomness of its own.
            on_written: called in the batcher's thread with the notes written so far of the last take, some times a
                second, and with all of them when every take is complete; it must return at once.

        Raises:
            EngineClosed: `close` was called.
        """
        ticket = Ticket(request, plan, takes, on_written, waiting=list(reversed(takes)), left=len(takes))
        ticket.future.set_running_or_notify_cancel()  # from here on `cancel` alone can stop it
        with self._lock:
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            self._waiting.append(ticket)
            self._lock.notify()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Stop takes within a few notes; their future then raises Cancelled. Nothing happens to what is done."""
        with self._lock:
            ticket.stopped = True
            for slot in ticket.slots:
                self._slots.stop(slot)
            if ticket.waiting:
                self._waiting.remove(ticket)
            over = self._ends(ticket, len(ticket.waiting))
            ticket.waiting.clear()
        if over:
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
                well = self._write(joining)
                if well:
                    self._tell()
                self._settle()  # whatever could be read, also when the slots failed over the next
                if not well and not self._start_again():
                    break
        finally:  # whatever happened, nobody waits for ever
            with self._lock:
                self._closing = True
                admitted = (ticket for ticket, _ in (*(take for take, _ in self._written), *self._unwritten()))
                for ticket in {*admitted, *self._over, *self._waiting}:
                    ticket.waiting.clear()
                    if not ticket.future.done():
                        ticket.future.set_exception(
                            EngineClosed("The engine was shut down before the piece was finished.")
                        )
                self._running.clear()
                self._ended.clear()
                self._waiting.clear()

    def _next(self) -> list[tuple[int, _Take]] | None:
        """Wait for something to do: the pieces that join; None when the batcher is closed."""
        with self._lock:
            while not (self._closing or self._waiting or self._running or self._ended):
                self._lock.wait()
            return None if self._closing else self._admit()

    def _write(self, joining: list[tuple[int, _Take]]) -> bool:
        """Have some notes of every piece written, and read those that are there; False when the slots failed."""
        try:
            for slot, (ticket, take) in joining:
                self._begin(slot, ticket, take)
            self._slots.run(max(1, self._slots.chunk_notes // max(1, len(self._running))))
            ended = np.flatnonzero(self._occupied & self._slots.finished()).tolist()
            self._leave(ended, self._slots.take(ended))
            while len(self._ended) > (self._slots.behind if self._running or self._waiting else 0):
                takes, notes = self._ended[0]
                self._written.extend(zip(takes, notes(), strict=True))
                self._ended.popleft()
        except Exception as problem:
            log.exception("The note step failed.")
            if self._on_failure is not None:
                self._on_failure(problem)
            return False
        return True

    def _leave(self, ended: list[int], notes: Callable[[], list[IntArray]]) -> None:
        """Give the slots of ended pieces to the next."""
        self._occupied[ended] = False
        with self._lock:
            takes = [self._running.pop(slot) for slot in ended]
            self._ended.append((takes, notes))
            for slot, (ticket, _) in zip(ended, takes, strict=True):
                self._heard.pop(slot, None)
                heapq.heappush(self._free, slot)
                ticket.slots.discard(slot)

    def _unwritten(self) -> list[_Take]:
        """All that were admitted and could not be read; the lock is held."""
        return [*(take for takes, _ in self._ended for take in takes), *self._running.values()]

    @staticmethod
    def _ends(ticket: Ticket, count: int) -> bool:
        """Some takes, or none, have ended; whether those were the last. The lock is held."""
        ticket.left -= count
        return count > 0 and ticket.left == 0

    def _admit(self) -> list[tuple[int, _Take]]:
        """Give free slots to those who wait; the lock is held."""
        joining = []
        while self._free and self._waiting:
            ticket, slot = self._waiting[0], heapq.heappop(self._free)
            take = ticket.waiting.pop()
            if not ticket.waiting:
                self._waiting.popleft()
            ticket.slots.add(slot)
            self._running[slot] = ticket, take
            if ticket.on_written is not None and take == ticket.takes[-1]:  # it began last: no other is less far
                self._heard[slot] = ticket.on_written
            joining.append((slot, (ticket, take)))
        return joining

    def _begin(self, slot: int, ticket: Ticket, take: int) -> None:
        opening = ticket.request.opening
        tokens = None if opening is None else opening.tokens
        self._slots.begin(slot, ticket.request, ticket.plan, attempt=take, opening=tokens)
        self._occupied[slot] = True
        if ticket.stopped:  # between its admission and its beginning, which forgot that
            self._slots.stop(slot)

    def _tell(self) -> None:
        if self._heard and time.monotonic() - self._told_at >= _TELL_EVERY_S:
            self._told_at = time.monotonic()
            for slot, on_written in self._heard.items():
                on_written(self._slots.written(slot))

    def _settle(self) -> None:
        """Give what was written to those who asked. Meanwhile a device writes on."""
        with self._lock:
            for (ticket, take), tokens in self._written:
                ticket.written[take] = tokens
                if self._ends(ticket, 1):
                    self._over.append(ticket)
            self._written.clear()
        for ticket in self._over:
            self._answer(ticket)
        self._over.clear()

    def _answer(self, ticket: Ticket) -> None:
        length = ticket.request.length_notes
        whole = [ticket.written[take] for take in ticket.takes if len(ticket.written.get(take, ())) == length]
        if len(whole) < len(ticket.takes):
            ticket.future.set_exception(Cancelled())
            return
        if ticket.on_written is not None:
            ticket.on_written(length)
        ticket.future.set_result(whole)

    def _start_again(self) -> bool:
        """Put what was in the making in front of what waits and take other slots; False when there are no others."""
        over = []
        with self._lock:
            unwritten = self._unwritten()
            log.warning("%d pieces are begun again.", len(unwritten))
            for ticket, take in reversed(unwritten):
                ticket.slots.clear()
                if ticket.stopped:
                    over += [ticket] if self._ends(ticket, 1) else []
                else:
                    if not ticket.waiting:
                        self._waiting.appendleft(ticket)
                    ticket.waiting.append(take)
            self._running.clear()
            self._ended.clear()
            self._heard.clear()
            del self._slots  # or others would find its memory taken
        for ticket in over:
            ticket.future.set_exception(Cancelled())
        try:
            slots = self._make_slots()
        except Exception:
            log.exception("There is no other way to write notes.")
            return False
        with self._lock:
            self._take(slots)
        return True
