"""Pieces out of a batcher, each the best of several takes that are written side by side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from data.tokens import IntArray
from engine.batching.batcher import Batcher, SlotsFactory, Ticket
from engine.plan import Plan
from engine.takes import ROUNDS_MAX, Chosen, Judge, most_original, takes_of
from engine.types import ComposeRequest

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Wish:
    """One piece in the making.

    Attributes:
        future: gives the piece; raises Cancelled, or EngineClosed when the batcher was closed.
        tickets: of all takes that were begun.
        deaths: how often the process ended that was writing it (`engine.batching.process`).
    """

    request: ComposeRequest
    plan: Plan
    on_written: Callable[[int], None] | None
    future: Future[Chosen] = field(default_factory=Future)
    tickets: list[Ticket] = field(default_factory=list)
    stopped: bool = False
    deaths: int = 0


class BestOf:
    """Requests in, pieces out; every method may be called from any thread.

    Args:
        make_slots: see `Batcher`.
        judge: chooses among the takes, in a thread of its own.
        on_failure: see `Batcher`.
    """

    def __init__(
        self, make_slots: SlotsFactory, judge: Judge, on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self._batcher = Batcher(make_slots, on_failure)
        self._judge = judge
        self._judging = ThreadPoolExecutor(1, "judge")

    @property
    def written_by(self) -> str:
        """What writes the notes now, for an administrator."""
        return self._batcher.written_by

    def submit(self, request: ComposeRequest, plan: Plan, *, on_written: Callable[[int], None] | None = None) -> Wish:
        """Have a piece made.

        Args:
            request: what to make.
            plan: of the request.
            on_written: see `Batcher.submit`: told how far the take that was begun last is.

        Raises:
            EngineClosed: `close` was called.
        """
        wish = Wish(request, plan, on_written)
        wish.future.set_running_or_notify_cancel()  # from here on `cancel` alone can stop it
        self._begin(wish, [])
        return wish

    def cancel(self, wish: Wish) -> None:
        """Stop a piece within a few notes; its future then raises Cancelled. Nothing happens to one that is done."""
        wish.stopped = True
        for ticket in wish.tickets.copy():
            self._batcher.cancel(ticket)

    def close(self) -> None:
        """Stop everything and end the threads. Safe to call twice."""
        self._batcher.close()
        self._judging.shutdown()

    def _begin(self, wish: Wish, before: list[Chosen]) -> None:
        """Have some more takes written, and judged when all are."""
        drawn = sum(len(ticket.takes) for ticket in wish.tickets)

        def all_is_written(_: int) -> None:
            if wish.on_written is not None:
                wish.on_written(wish.request.length_notes)

        def judge(_: Future[list[IntArray]]) -> None:
            try:
                self._judging.submit(self._end, wish, ticket, before)
            except RuntimeError:  # closed in this very moment: nobody may be left without an answer
                self._end(wish, ticket, before)

        ticket = self._batcher.submit(
            wish.request,
            wish.plan,
            takes=range(drawn, drawn + takes_of(wish.request.length_notes)),
            # Progress never goes back: during further rounds, which are rare, it stays where it was.
            on_written=all_is_written if before else wish.on_written,
        )
        wish.tickets.append(ticket)
        if wish.stopped:  # before it could know of these
            self.cancel(wish)
        ticket.future.add_done_callback(judge)

    def _end(self, wish: Wish, ticket: Ticket, before: list[Chosen]) -> None:
        """Give out the best of some takes, or have more written while every one copies too much."""
        try:
            chosen = self._judge.choose(ticket.future.result(), wish.request, wish.plan, ticket.takes.start)
            if not chosen.acceptable:
                log.info("%s: %d takes copy too much.", wish.request.id, chosen.drawn)
                before = [*before, chosen]
                if len(before) < ROUNDS_MAX:
                    self._begin(wish, before)
                    return
                chosen = replace(most_original(before), drawn=chosen.drawn)
            wish.future.set_result(chosen)
        except Exception as error:
            wish.future.set_exception(error)
