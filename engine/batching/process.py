"""A writer of notes in a process of its own, watched: killed, crashed or hung, it is started again and loses no piece.

Whatever was in the making is asked for again. A piece depends on its request alone, so what comes back is what would
have come. Only one over which it dies again and again is given up: those in the making are then written one at a time.
The caller's process, its event loop and its GIL never notice. `engine.batching.writing` is what runs in it.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue

from data.errors import MusicLSTMError
from engine.batching.best_of import Wish
from engine.batching.writing import Order, Start, Word, write_notes
from engine.checkpoint import Checkpoint
from engine.errors import Cancelled, EngineClosed, SetupProblem
from engine.pipes import Child
from engine.plan import Plan
from engine.takes import Judge
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

_HANG_S = 10.0  # while pieces are in the making a word comes every 50 ms
_BEGIN_S = 180.0  # until the first word: imports, and the compiler where nothing is compiled yet
_DEATHS_MAX = 3  # without a finished piece in between: then it is no accident, and those who wait are told
_DEATHS_OF_CHANCE = 1  # beyond that the GPU is doubted, for good, and so are the pieces: they are written one at a time
_POLL_S = 0.25
_END_S = 5.0  # for a process whose pipe has ended to end, too, and say how
_PAUSE_S = 1.0  # before another try to start a process where there was no room for one
_CRASHED = "What writes the notes crashed several times: the log has the reason."


class _Sampler(Child):
    """One process that writes.

    Args:
        start: what `write_notes` begins with.

    Attributes:
        orders: what is put in is sent.

    Raises:
        OSError: there is no room for another process.
    """

    def __init__(self, start: Start) -> None:
        super().__init__(write_notes, name="sampler")
        self.orders: SimpleQueue[tuple[int, Order | None] | None] = SimpleQueue()
        # A pipe that is full holds up whoever writes to it, so that is a thread that may be held up.
        self._postman = self._thread("post", _post, self.connection, start, self.orders)

    def end(self) -> int | None:
        """See `Child.end`."""
        self.process.kill()  # whatever is being sent fails now
        self.orders.put(None)
        self._postman.join()
        return super().end()


class WriterProcess:
    """The methods of a `BestOf`, which may be called from any thread.

    Args:
        checkpoint: the model.
        judge: of its takes.
        count: takes side by side.
        device: "cuda" or "cpu"; None: CUDA where there is one.

    Attributes:
        written_by: what writes the notes, for an administrator; None before that is known.

    Raises:
        SetupProblem: there is no room for another process.
    """

    def __init__(self, checkpoint: Checkpoint, judge: Judge, count: int, device: str | None = None) -> None:
        self._start_arguments = checkpoint, judge, count
        self._device = device
        self._changed = threading.Condition()
        self._wishes: dict[int, Wish] = {}
        self._numbers = 0
        self._closing = False
        self._deaths = 0
        self._alone: int | None = None  # the piece that is written alone: the others wait
        self.written_by: str | None = None
        self._child: _Sampler | None = self._another()
        self._thread = threading.Thread(target=self._watch, name="sampler-watch", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        """The process that writes now; None between two."""
        child = self._child
        return None if child is None else child.process.pid

    def submit(self, request: ComposeRequest, plan: Plan, *, on_written: Callable[[int], None] | None = None) -> Wish:
        """See `BestOf.submit`; `on_written` is called in a thread of this process."""
        wish = Wish(request, plan, on_written)
        wish.future.set_running_or_notify_cancel()
        with self._changed:
            if self._closing:
                raise EngineClosed("The engine is shutting down; try again in a minute.")
            number = self._numbers
            self._numbers += 1
            self._wishes[number] = wish
            if self._alone is None:
                self._order(number, (request, plan))
            self._changed.notify()
        return wish

    def cancel(self, wish: Wish) -> None:
        """See `BestOf.cancel`. Its future says so at once: a process that begins, or hangs, is not waited for."""
        with self._changed:
            for number in [number for number, known in self._wishes.items() if known is wish]:
                del self._wishes[number]
                wish.future.set_exception(Cancelled())
                if self._alone in {None, number}:  # else nobody was asked for it yet
                    self._order(number, None)

    def close(self) -> None:
        """See `BestOf.close`."""
        with self._changed:
            self._closing = True
            if self._child is not None:
                self._child.process.kill()  # it holds nothing that is worth a farewell
            self._changed.notify()
        self._thread.join()

    def _another(self) -> _Sampler:
        try:
            return _Sampler((*self._start_arguments, self._device))
        except OSError as error:
            raise SetupProblem(f"No process can be started that writes notes ({error.strerror}).") from error

    def _order(self, number: int, order: Order | None) -> None:
        if self._child is not None:  # else the next one is told of all that is wanted
            self._child.orders.put((number, order))

    def _watch(self) -> None:
        """Attend to one process after another, until closed."""
        try:
            while (child := self._child or self._start_again()) is not None:
                self._mourn(child, began=self._attend(child))
        finally:  # whatever happened, nobody waits for ever
            with self._changed:
                self._closing = True
                self._give_up(EngineClosed("The engine was shut down before the piece was finished."))
            if self._child is not None:
                self._child.end()

    def _attend(self, child: _Sampler) -> bool:
        """Take in what a process says until it ends, or hangs; whether it said anything."""
        began, silent_s = False, 0.0
        while silent_s <= (_HANG_S if began else _BEGIN_S):
            try:
                word = child.heard.get(timeout=_POLL_S)
            except Empty:
                # By waits, not by the clock: while this process is stopped, the other is not late.
                silent_s = silent_s + _POLL_S if self._wishes else 0.0
                continue
            if word is None:
                child.process.join(_END_S)
                return began
            began, silent_s = True, 0.0
            self._hear(word)
        log.error("The process that writes notes hangs; it is killed.")
        return began

    def _hear(self, word: Word) -> None:
        number, what = word
        if isinstance(what, str):
            self.written_by = what
            return
        if isinstance(what, int):
            wish = self._wishes.get(number)
            if wish is not None and wish.on_written is not None:
                wish.on_written(what)
            return
        with self._changed:
            wish = self._wishes.pop(number, None)
            if number == self._alone:
                self._order_all()
        if not isinstance(what, BaseException):
            self._deaths = 0
        if wish is None:  # it was cancelled
            return
        if isinstance(what, BaseException):
            wish.future.set_exception(what)
        else:
            wish.future.set_result(what)

    def _mourn(self, child: _Sampler, *, began: bool) -> None:
        with self._changed:
            self._child = None
        status = child.end()
        if self._closing:
            return
        self._deaths += 1
        pieces = len(self._wishes)
        log.error("The process that writes notes ended (exit status %s) with %d pieces in the making.", status, pieces)
        with self._changed:
            suspects = [wish for number, wish in self._wishes.items() if self._alone in {None, number}]
            for wish in suspects if began else ():
                wish.deaths += 1
            if began and self._alone in self._wishes:
                del self._wishes[self._alone]
                log.error("It ended over piece %s alone, which is given up.", suspects[0].request.id)
                suspects[0].future.set_exception(SetupProblem(_CRASHED))
                self._deaths = 0
        often = max([self._deaths, *(wish.deaths for wish in suspects)])
        if often > _DEATHS_OF_CHANCE and self._device != "cpu":
            log.error("It ended %d times; from now on notes are written on the CPU.", often)
            self._device = "cpu"

    def _start_again(self) -> _Sampler | None:
        """Another process, asked for all that is wanted; None when the writer is closed."""
        while not self._closing:
            with self._changed:
                if self._deaths > _DEATHS_MAX:
                    # Who waits is told; whoever comes next may have more luck, and until then nothing is tried.
                    log.error("Notes cannot be written: it ended %d times in a row.", self._deaths)
                    self._give_up(SetupProblem(_CRASHED))
                    self._deaths = 0
                    self._changed.wait_for(lambda: self._wishes or self._closing)
                    continue
            try:
                child = self._another()
            except SetupProblem:
                log.exception("Notes cannot be written just now.")
                self._deaths += 1
                with self._changed:
                    self._changed.wait_for(lambda: self._closing, _PAUSE_S)
            else:
                self._ask(child)
                return child
        return None

    def _ask(self, child: _Sampler) -> None:
        with self._changed:
            self._child = child
            if self._closing:  # a moment ago, when there was nothing to kill
                child.process.kill()
            self._order_all()

    def _order_all(self) -> None:
        """Order all that is wanted, or the first of what is to be written alone; the lock is held."""
        doubted = [number for number, wish in self._wishes.items() if wish.deaths > _DEATHS_OF_CHANCE]
        self._alone = doubted[0] if doubted else None
        for number in doubted[:1] or list(self._wishes):
            self._order(number, (self._wishes[number].request, self._wishes[number].plan))

    def _give_up(self, why: MusicLSTMError) -> None:
        """Tell everybody who waits that it was in vain; the lock is held."""
        for wish in self._wishes.values():
            wish.future.set_exception(why)
        self._wishes.clear()


def _post(connection: Connection, start: Start, orders: SimpleQueue[tuple[int, Order | None] | None]) -> None:
    """Send what a process begins with, then its orders up to a None; what a dead one does not get, the next does."""
    # Nothing else of this process runs while it is pickled: 10 ms by the newest protocol, 40 by that of `send`, which
    # copies every array once more.
    with contextlib.suppress(OSError):
        connection.send_bytes(pickle.dumps(start, pickle.HIGHEST_PROTOCOL))
    while (order := orders.get()) is not None:
        with contextlib.suppress(OSError):
            connection.send(order)
