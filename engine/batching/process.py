"""A writer of notes in a process of its own, watched: killed, crashed or hung, it is started again and loses no piece.

Whatever was in the making is asked for again. A piece depends on its request alone, so what comes back is what would
have come. The caller's process, its event loop and its GIL never notice.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import TypeAlias

from engine.batching.best_of import BestOf, Wish
from engine.batching.slots import open_slots, ways
from engine.batching.torch_slots import DeviceLost
from engine.checkpoint import Checkpoint
from engine.errors import Cancelled, EngineClosed
from engine.plan import Plan
from engine.takes import Chosen, Judge
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

_HANG_S = 20.0  # while pieces are in the making a word comes every 50 ms
_BEGIN_S = 180.0  # until the first word: imports, and the compiler where nothing is compiled yet
_SWITCH_S = 0.0005  # the judge's thread may keep the batcher's from its next call so long
_DEATHS_MAX = 3  # without a finished piece in between: then it is no accident
_DEATHS_OF_GPU = 2  # then it is the GPU's turn to be doubted, and notes are written on the CPU from then on
_GPU_LOST = 75  # exit status: EX_TEMPFAIL

# Parent to child: (number, None) to cancel, or (number, what to write). Child to parent: (number, notes written),
# (number, the piece) or (number, why there is none).
_Order: TypeAlias = tuple[ComposeRequest, Plan]
_Word: TypeAlias = tuple[int, int | Chosen | BaseException]


class WriterProcess:
    """The methods of a `BestOf`, which may be called from any thread.

    Args:
        checkpoint: the model.
        judge: of its takes.
        count: takes side by side.
        device: "cuda" or "cpu"; None: CUDA where there is one.
    """

    def __init__(self, checkpoint: Checkpoint, judge: Judge, count: int, device: str | None = None) -> None:
        self._start_arguments = checkpoint, judge, count
        self._device = device
        self._lock = threading.Lock()
        self._wishes: dict[int, Wish] = {}
        self._numbers = 0
        self._closing = False
        self._deaths = 0
        self._start()
        self._thread = threading.Thread(target=self._watch, name="sampler-watch", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process that writes now."""
        return self._process.pid

    def submit(self, request: ComposeRequest, plan: Plan, *, on_written: Callable[[int], None] | None = None) -> Wish:
        """See `BestOf.submit`; `on_written` is called in a thread of this process."""
        wish = Wish(request, plan, on_written)
        wish.future.set_running_or_notify_cancel()
        with self._lock:
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            number = self._numbers
            self._numbers += 1
            self._wishes[number] = wish
            self._send(number, wish)
        return wish

    def cancel(self, wish: Wish) -> None:
        """See `BestOf.cancel`."""
        with self._lock:
            wish.stopped = True
            for number, known in self._wishes.items():
                if known is wish:
                    self._outbox.put((number, None))

    def close(self) -> None:
        """See `BestOf.close`."""
        with self._lock:
            self._closing = True
            self._process.kill()  # it holds nothing that is worth a farewell
        self._thread.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks in any state
        self._connection, theirs = context.Pipe()
        arguments = (theirs, *self._start_arguments, self._device)
        self._process: BaseProcess = context.Process(target=_write_notes, args=arguments, name="sampler", daemon=True)
        self._process.start()
        theirs.close()  # so that the pipe ends when the process does
        # A pipe that is full holds up whoever writes to it, so that is a thread that may be held up.
        self._outbox: SimpleQueue[tuple[int, _Order | None] | None] = SimpleQueue()
        threading.Thread(target=_post, args=(self._connection, self._outbox), name="sampler-post", daemon=True).start()

    def _send(self, number: int, wish: Wish) -> None:
        self._outbox.put((number, (wish.request, wish.plan)))

    def _watch(self) -> None:
        """Take in what the process says; start it again when it says nothing more."""
        patience_s = _BEGIN_S
        heard_at = time.monotonic()
        while True:
            try:
                if self._connection.poll(0.25):
                    self._hear(self._connection.recv())
                    heard_at, patience_s = time.monotonic(), _HANG_S
                elif not self._wishes:
                    heard_at = time.monotonic()
                elif time.monotonic() - heard_at > patience_s:
                    log.error("The process that writes notes hangs; it is killed.")
                    self._process.kill()
                    heard_at = time.monotonic()
            except (EOFError, OSError):
                if not self._start_again():
                    break
                heard_at, patience_s = time.monotonic(), _BEGIN_S
        with self._lock:
            self._closing = True
            for wish in self._wishes.values():
                wish.future.set_exception(EngineClosed("The engine was shut down before the piece was finished."))
            self._wishes.clear()
            self._outbox.put(None)
        self._process.kill()
        self._process.join()
        self._connection.close()

    def _hear(self, word: _Word) -> None:
        number, what = word
        if isinstance(what, int):
            wish = self._wishes.get(number)
            if wish is not None and wish.on_written is not None:
                wish.on_written(what)
            return
        with self._lock:
            wish = self._wishes.pop(number)
        if isinstance(what, BaseException):
            wish.future.set_exception(what)
        else:
            self._deaths = 0
            wish.future.set_result(what)

    def _start_again(self) -> bool:
        """After a death: False when it was meant, or happens again and again."""
        self._process.join()
        with self._lock:
            if self._closing:
                return False
            self._deaths += 1
            log.error(
                "The process that writes notes ended (exit status %s) with %d pieces in the making.",
                self._process.exitcode,
                len(self._wishes),
            )
            if self._deaths > _DEATHS_MAX:
                return False
            if self._deaths >= _DEATHS_OF_GPU and self._device != "cpu":
                log.error("It ended %d times in a row; from now on notes are written on the CPU.", self._deaths)
                self._device = "cpu"
            self._outbox.put(None)
            self._connection.close()
            self._start()
            for number, wish in list(self._wishes.items()):
                if wish.stopped:
                    del self._wishes[number]
                    wish.future.set_exception(Cancelled())
                else:
                    self._send(number, wish)
        return True


def _post(connection: Connection, outbox: SimpleQueue[tuple[int, _Order | None] | None]) -> None:
    """Send what is in the box until it holds a None; what a dead process does not get, the watcher sends again."""
    while (order := outbox.get()) is not None:
        with contextlib.suppress(OSError):
            connection.send(order)


@dataclass(slots=True)
class _Mouth:
    """The child's side of the pipe, for several threads."""

    connection: Connection
    lock: threading.Lock

    def say(self, number: int, what: int | Chosen | BaseException) -> None:
        with self.lock, contextlib.suppress(OSError):  # the parent is gone: `_write_notes` sees it and ends
            self.connection.send((number, what))

    def tell_end(self, number: int, future: Future[Chosen]) -> None:
        self.say(number, future.exception() or future.result())


def _write_notes(connection: Connection, checkpoint: Checkpoint, judge: Judge, count: int, device: str | None) -> None:
    """The process: it takes its orders from a pipe, until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes
    sys.setswitchinterval(_SWITCH_S)
    mouth = _Mouth(connection, threading.Lock())
    writer = BestOf(partial(open_slots, ways(checkpoint, count, device)), judge, _end_if_lost)
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
    writer.close()


def _end_if_lost(problem: Exception) -> None:
    """End a process whose GPU failed. It could go on only on the CPU, where the next one may have the GPU again."""
    if isinstance(problem, DeviceLost):
        log.error("This process cannot use the GPU again and makes room for another: %s.", problem)
        os._exit(_GPU_LOST)  # at once: whatever touches the GPU fails or hangs from here on
