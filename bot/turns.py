"""Whose turn it is: a fair queue in front of the engine, with places and measured estimates.

Fairness is start-time fair queuing (Goyal, Vin & Cheng 1996) on two levels: servers share the engine by notes made, and
so do the people within each server. Whoever has had the least goes next; who comes back after a pause gets no credit
for it. So one person with a hundred wishes delays another's first by one piece, not by a hundred.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

_NEWS_S = 2.0  # an expected end that moves by less is no news for those who wait

PlaceCallback = Callable[[int, float | None], None]  # pieces ahead, estimated seconds until the piece is complete


class Pace:
    """How long pieces take here, learnt from those that were made: an exponential average of seconds a note."""

    _WEIGHT = 0.2  # of the newest piece: follows a change of load within about five pieces

    def __init__(self) -> None:
        self._s_per_note: float | None = None

    def observe(self, notes: int, elapsed_s: float) -> None:
        """Learn from one piece: its notes, and its seconds from its turn to its files."""
        latest = elapsed_s / notes
        known = self._s_per_note
        self._s_per_note = latest if known is None else known + self._WEIGHT * (latest - known)

    def estimate_s(self, notes: int) -> float | None:
        """Seconds that a piece of so many notes takes once it has its turn; None while nothing is known."""
        return None if self._s_per_note is None else notes * self._s_per_note


@dataclass(eq=False, slots=True)
class Ticket:
    """One piece in the queue or with the engine."""

    person: str
    group: str
    notes: int
    on_place: PlaceCallback
    turn: asyncio.Future[None]
    started: float = 0.0  # time.monotonic() at its turn
    ends: float | None = None  # time.monotonic() at its expected end, once its own work tells more than the pace
    told: tuple[int, float | None] | None = None


@dataclass(slots=True)
class _Share:
    """A server, a person in it, or (the root) everybody: what it has had, and who waits in it."""

    served: float = 0.0  # virtual time: notes had, and never less than others had when it came
    now: float = 0.0  # `served` of the member that was taken last
    members: dict[str, _Share] = field(default_factory=dict)
    tickets: list[Ticket] = field(default_factory=list)

    @property
    def waits(self) -> bool:
        return bool(self.tickets) or any(member.waits for member in self.members.values())

    def add(self, path: tuple[str, ...], ticket: Ticket) -> None:
        if not path:
            self.tickets.append(ticket)
            return
        member = self.members.pop(path[0], None) or _Share()
        if not member.waits:
            member.served = max(member.served, self.now)
        self.members[path[0]] = member  # at the end: of equals, the one who has waited longest goes first
        member.add(path[1:], ticket)

    def take(self) -> Ticket:
        """Remove the ticket whose turn it is and charge for it on every level."""
        if self.tickets:
            return self.tickets.pop(0)
        name = min((name for name in self.members if self.members[name].waits), key=lambda n: self.members[n].served)
        member = self.members.pop(name)
        self.now = member.served
        ticket = member.take()
        member.served += ticket.notes
        self.members[name] = member
        # A debt is remembered until the others have caught up with it; after that it means nothing.
        self.members = {name: m for name, m in self.members.items() if m.waits or m.served > self.now}
        return ticket

    def order(self) -> Iterator[Ticket]:
        """The tickets in the order in which `take` would give them if nobody else came."""
        yield from self.tickets
        turns = [(member.served, place, member.order()) for place, member in enumerate(self.members.values())]
        heapq.heapify(turns)
        behind = itertools.count(len(turns))  # of equals, the one who has waited longest goes first
        while turns:
            served, _, tickets = heapq.heappop(turns)
            ticket = next(tickets, None)
            if ticket is not None:
                yield ticket
                heapq.heappush(turns, (served + ticket.notes, next(behind), tickets))

    def remove(self, ticket: Ticket) -> None:
        if ticket in self.tickets:
            self.tickets.remove(ticket)
        for member in self.members.values():
            member.remove(ticket)


class Turns:
    """Gives turns to pieces: at most `slots` at once, the others wait in fair order.

    Args:
        slots: pieces that the engine makes at the same time.
        pace: for the estimates; told of each piece that is made.
    """

    def __init__(self, slots: int, pace: Pace) -> None:
        self._slots = slots
        self._pace = pace
        self._shares = _Share()
        self._waiting: list[Ticket] = []  # in the order in which they came
        self._running: list[Ticket] = []
        self._telling: asyncio.Handle | None = None

    @property
    def waiting(self) -> int:
        """Pieces that have no turn yet."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Pieces that have their turn."""
        return len(self._running)

    def count(self, *, person: str | None = None, group: str | None = None) -> int:
        """Pieces, waiting or with the engine, of that person or server."""
        tickets = self._waiting + self._running
        return sum(person in {None, ticket.person} and group in {None, ticket.group} for ticket in tickets)

    def place(self, ticket: Ticket) -> int:
        """How many get their turn before this one; 0 when it is the next or has its turn."""
        order = list(self._shares.order())
        return order.index(ticket) if ticket in order else 0

    def enter(self, *, person: str, group: str, notes: int, on_place: PlaceCallback) -> Ticket:
        """Queue up. Await the ticket's `turn`, and in any case `leave` at the end.

        Args:
            person: who asks.
            group: the server in which they ask.
            notes: what the piece costs.
            on_place: called when the place in the queue or the estimate has changed, while it waits.
        """
        ticket = Ticket(person, group, notes, on_place, asyncio.get_running_loop().create_future())
        self._shares.add((group, person), ticket)
        self._waiting.append(ticket)
        self._advance()
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the turn back, or the place in the queue. Safe to call twice."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            self._shares.remove(ticket)
        elif ticket in self._running:
            self._running.remove(ticket)
        self._advance()

    def made(self, ticket: Ticket) -> None:
        """Learn from a piece that was made in this turn how long pieces take."""
        self.learn(ticket.notes, time.monotonic() - ticket.started)

    def learn(self, notes: int, elapsed_s: float) -> None:
        """Learn how long pieces take from one that was made earlier: its notes, and its seconds."""
        self._pace.observe(notes, elapsed_s)

    def expect(self, ticket: Ticket, remaining_s: float) -> None:
        """The work itself tells how many seconds it takes from now on: better than any pace of others."""
        ends = time.monotonic() + remaining_s
        if ticket.ends is None or abs(ends - ticket.ends) >= _NEWS_S:
            ticket.ends = ends
            self._tell_soon()

    def remaining_s(self, ticket: Ticket) -> float | None:
        """Estimated seconds until a ticket that has its turn is done."""
        if ticket.ends is not None:
            return max(0.0, ticket.ends - time.monotonic())
        whole_s = self._pace.estimate_s(ticket.notes)
        return None if whole_s is None else max(0.0, whole_s - (time.monotonic() - ticket.started))

    def wait_s(self, notes: int) -> float | None:
        """Estimated seconds until one more piece, asked for now by somebody new, would be complete."""
        free_s = self._free_s()
        whole_s = self._pace.estimate_s(notes)
        if free_s is None or whole_s is None:
            return None
        for ticket in self._waiting:
            heapq.heapreplace(free_s, free_s[0] + (self._pace.estimate_s(ticket.notes) or 0.0))
        return free_s[0] + whole_s

    def _advance(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            ticket = self._shares.take()
            self._waiting.remove(ticket)
            self._running.append(ticket)
            ticket.started = time.monotonic()
            if not ticket.turn.done():  # cancelled this very moment: it gives the turn back when it wakes
                ticket.turn.set_result(None)
        if not self._waiting and not self._running:
            self._shares = _Share()  # nobody is here any more: old debts mean nothing
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._waiting and self._telling is None:
            # Many come and go in one turn of the event loop: they are told once.
            self._telling = asyncio.get_running_loop().call_soon(self._tell)

    def _free_s(self) -> list[float] | None:
        """Seconds until each slot is free, as a heap; None while the pace is unknown."""
        left = [self.remaining_s(ticket) for ticket in self._running]
        known = [seconds for seconds in left if seconds is not None]
        if len(known) < len(left):
            return None
        slots = known + [0.0] * (self._slots - len(known))
        heapq.heapify(slots)
        return slots

    def _tell(self) -> None:
        self._telling = None
        free_s = self._free_s()
        for ahead, ticket in enumerate(self._shares.order()):
            done_s: float | None = None
            whole_s = self._pace.estimate_s(ticket.notes)
            if free_s is not None and whole_s is not None:
                done_s = free_s[0] + whole_s
                heapq.heapreplace(free_s, done_s)
            if ticket.told != (ahead, done_s):
                ticket.told = (ahead, done_s)
                ticket.on_place(ahead, done_s)
