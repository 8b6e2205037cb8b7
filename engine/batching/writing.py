"""A process that writes notes: what runs in it. `engine.batching.process` starts it and watches over it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import NoReturn, TypeAlias

from engine.batching.best_of import BestOf, Wish
from engine.batching.slots import DeviceFull, Slots, open_slots, ways
from engine.checkpoint import Checkpoint
from engine.garbage import keep_loaded
from engine.plan import Plan
from engine.takes import Chosen, Judge
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

SWITCH_S = 0.0005  # the judge's thread may keep the batcher's from its next call so long
_FAILED = 75  # exit status: EX_TEMPFAIL

# Parent to child: (number, None) to cancel, or (number, what to write). Child to parent: (number, notes written),
# (number, the piece) or (number, why there is none); (0, what writes the notes) whenever that is another.
Order: TypeAlias = tuple[ComposeRequest, Plan]
Word: TypeAlias = tuple[int, int | str | Chosen | BaseException]
Start: TypeAlias = tuple[Checkpoint, Judge, int, str | None]


@dataclass(slots=True)
class Mouth:
    """The child's side of the pipe, for several threads."""

    connection: Connection
    lock: threading.Lock

    def say(self, number: int, what: int | str | Chosen | BaseException) -> None:
        """See `Word`."""
        with self.lock, contextlib.suppress(OSError):  # the parent is gone: `write_notes` sees it and ends
            self.connection.send((number, what))

    def tell_end(self, number: int, future: Future[Chosen]) -> None:
        """Say what became of a piece. Where there was no memory for it, this process ends: the next one has more."""
        error = future.exception()
        if isinstance(error, MemoryError):
            _end(error)
        try:
            self.say(number, error or future.result())
        except Exception as problem:  # it cannot be said: the one who waits learns of it from this end
            _end(problem)


def write_notes(connection: Connection) -> None:
    """The process: it takes its orders from a pipe, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes
    sys.setswitchinterval(SWITCH_S)
    try:
        start: Start = connection.recv()
    except (EOFError, OSError):
        return
    checkpoint, judge, count, device = start
    mouth = Mouth(connection, threading.Lock())
    remaining = ways(checkpoint, count, device)

    def next_slots() -> Slots:
        slots = open_slots(remaining)
        mouth.say(0, slots.name)
        return slots

    writer = BestOf(next_slots, judge, _end_unless_full)
    keep_loaded()
    wishes: dict[int, Wish] = {}
    with contextlib.suppress(EOFError, OSError):
        while True:
            number, order = connection.recv()
            if order is None:
                if number in wishes:
                    writer.cancel(wishes[number])
                continue
            request, plan = order
            wish = writer.submit(request, plan, on_written=partial(mouth.say, number))
            wishes = {n: w for n, w in wishes.items() if not w.future.done()} | {number: wish}
            wish.future.add_done_callback(partial(mouth.tell_end, number))
    os._exit(0)  # at once: nothing is worth a farewell, and a thread that is stuck would not let it go


def _end_unless_full(problem: Exception) -> None:
    """End this process when its slots failed: the next one has the same kind again, and so writes the same notes.

    Of a GPU whose memory is too small, fewer slots may be had here and now.
    """
    if not isinstance(problem, DeviceFull):
        _end(problem)


def _end(problem: BaseException) -> NoReturn:
    log.error("This process cannot go on and makes room for another: %r.", problem)
    os._exit(_FAILED)  # at once: whatever touches a GPU that is lost fails or hangs from here on
