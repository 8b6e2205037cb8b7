"""Rendering in processes of its own, which stay warm.

The bot's process keeps its lock and its event loop to itself, and lives on when a render does not. `RenderPool` has the
methods of `Renderer` and can be used in its place, from any number of threads.

Each worker is a process with a pipe of its own, so that the death of one is noticed at once and is no concern of the
others. One that hangs is told by its percentage, which stands still.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import Empty

from data.keys import Key
from data.moods import Mood
from data.score import Score
from data.spaces import Space
from engine.errors import Cancelled, RenderFailed, SetupProblem, SynthesiserEnded
from engine.pipes import Child
from engine.render.renderer import Rendered, Renderer
from engine.render.worker import CANCELLED, Board, Failure, RenderJob, work

_log = logging.getLogger(__name__)

_POLL_S = 0.03
_WORKERS_MAX = 8  # beyond it choosing among takes, one core's work for all of them, would be what pieces wait for
_CRASHES = 2  # of workers over one piece: once may be chance
_ATTEMPTS = 4  # a worker that somebody killed was innocent, but there is an end to everything
# Without a percent more. Measured on two busy cores: 0.2 s for two minutes of music, 0.9 s for ten.
_SILENCE_S, _SILENCE_SHARE = 20.0, 0.05  # and that share of the music's duration
_BEGIN_S = 180.0  # so much more until the first percent of a new process: imports from a cold disk, and the fonts
_STOP_S = 5.0  # until a worker obeys that is told to stop


class _Died(Exception):
    """A worker ended, hangs or is out of memory.

    Attributes:
        innocent: somebody killed it, as systems do that run out of memory.
    """

    def __init__(self, sentence: str, *, innocent: bool = False) -> None:
        super().__init__(sentence)
        self.innocent = innocent


class _Worker(Child):
    """A process that renders one piece at a time.

    Args:
        soundfont: see `Renderer`.
        cache: see `Renderer`.
        board: shared memory for progress and cancellation, two integers for each slot.
        slot: its place on the board.

    Attributes:
        busy: with a piece; it stays so when the worker died of it.

    Raises:
        OSError: there is no room for another process or its folder.
    """

    def __init__(self, soundfont: Path | None, cache: Path | None, board: Board, slot: int) -> None:
        self.slot = slot
        self.busy = False
        self.scratch = tempfile.mkdtemp(prefix="musiclstm-render-")
        self._remove_scratch = weakref.finalize(self, shutil.rmtree, self.scratch, ignore_errors=True)
        self._board = board
        self._begun = False
        self._ending = threading.Lock()
        super().__init__(work, soundfont, cache, board, self.scratch, name="renderer")

    def render(
        self, job: RenderJob, progress: Callable[[int], None] | None, cancelled: Callable[[], bool] | None
    ) -> Rendered:
        """Have a piece rendered. Raises what `Renderer.render` raises, or _Died."""
        percent, stop = 2 * self.slot, 2 * self.slot + 1
        self._board[percent] = self._board[stop] = 0
        self.busy = True
        try:
            self.connection.send(job)  # 100 KB at most, which fit into the pipe
        except OSError as error:
            raise self._death() from error
        patience_s = _SILENCE_S + _SILENCE_SHARE * job.score.duration_s + (0 if self._begun else _BEGIN_S)
        seen, silent_s = -1, 0.0
        while True:
            with contextlib.suppress(Empty):
                return self._result(self.heard.get(timeout=_POLL_S))
            silent_s += _POLL_S  # by waits, not by the clock: while this process is stopped, no other is late
            if self._board[percent] > seen:
                seen, silent_s = self._board[percent], 0.0
                if seen > 0 and not self._begun:
                    self._begun, patience_s = True, patience_s - _BEGIN_S
                if progress is not None:
                    progress(seen)
            if cancelled is not None and self._board[stop] != CANCELLED and cancelled():
                self._board[stop] = CANCELLED
                patience_s, silent_s = _STOP_S, 0.0
            if silent_s > patience_s:
                raise _Died("it hangs")

    def _result(self, word: Rendered | Failure | None) -> Rendered:
        if word is None:
            raise self._death()
        if isinstance(word, Rendered):
            self._begun, self.busy = True, False
            return word
        if isinstance(word.error, SynthesiserEnded):
            raise _Died(str(word.error), innocent=True)
        if isinstance(word.error, MemoryError | RuntimeError | OSError):  # RuntimeError: no more threads
            raise _Died(f"it failed ({word.error!r})") from word.error
        self.busy = False
        raise word.error

    def _death(self) -> _Died:
        self.process.join(_STOP_S)
        status = self.process.exitcode
        return _Died(f"it ended (exit status {status})", innocent=status == -signal.SIGKILL)

    def end(self) -> int | None:
        """See `Child.end`; its FluidSynth ends too, and its temporary files go. Safe to call from several threads."""
        with self._ending:
            pid = self.process.pid
            with contextlib.suppress(OSError):  # it has ended
                if pid is not None and self.process.is_alive() and os.getpgid(pid) == pid:
                    os.killpg(pid, signal.SIGKILL)
            status = super().end()  # which kills it where it has not come to lead a group yet
            self._remove_scratch()
            return status


def fitting_workers() -> int:
    """How many workers this machine has room for: one for every two cores that this process may use, at most eight."""
    from loky import cpu_count  # noqa: PLC0415 -- a twentieth of a second, and whoever makes one piece does without

    cores: int = cpu_count()
    return max(1, min(_WORKERS_MAX, cores // 2))


class RenderPool:
    """Renderers in worker processes, with the methods of one `Renderer`.

    Args:
        workers: processes; each renders one piece at a time and keeps two cores busy.
        soundfont: see `Renderer`.
        cache: see `Renderer`.

    Raises:
        SetupProblem: there is no memory that processes could share.
    """

    def __init__(self, *, workers: int = 1, soundfont: Path | None = None, cache: Path | None = None) -> None:
        self._renderer = Renderer(soundfont=soundfont, cache=cache)
        self._arguments = (soundfont, cache)
        try:
            self._board: Board = multiprocessing.get_context("spawn").RawArray("i", 2 * workers)
        except OSError as error:
            sentence = f"No memory can be shared between processes ({error.strerror}): /dev/shm has to be writable."
            raise SetupProblem(sentence) from error
        self._workers: list[_Worker | None] = [None] * workers  # by slot; None: not started yet, or dead
        self._free_slots = list(range(workers))
        self._changed = threading.Condition()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The processes that are running."""
        return [worker.process.pid for worker in self._workers if worker is not None and worker.process.pid is not None]

    def check(self) -> None:
        """See `Renderer.check`. Also starts the workers, so that the first piece need not wait for them."""
        self._renderer.check()
        for slot in range(len(self._workers)):
            self._worker(slot)

    def render(
        self,
        score: Score,
        *,
        title: str,
        recipe: Sequence[str],
        folder: Path,
        name: str,
        mood: Mood,
        space: Space | None = None,
        key: Key | None = None,
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Rendered:
        """See `Renderer.render`. A worker that dies is replaced, and the piece is made again, with the same result.

        Closing the pool meanwhile raises Cancelled too.
        """
        slot = self._take_slot(cancelled)
        try:
            job = RenderJob(score, title, tuple(recipe), folder, name, mood, space, slot, key)
            crashes = 0
            for attempt in range(_ATTEMPTS):
                worker = self._worker(slot)
                try:
                    return worker.render(job, progress, cancelled)
                except _Died as death:
                    _log.warning("A render worker died (attempt %d of %d): %s.", attempt + 1, _ATTEMPTS, death)
                    crashes += not death.innocent
                    if cancelled is not None and cancelled():
                        raise Cancelled from death
                    if crashes == _CRASHES:
                        raise RenderFailed("The synthesiser crashed on this piece twice: try another seed.") from death
                finally:
                    if worker.busy:  # or what it says of this piece would be taken for the next
                        self._bury(worker)
                        _sweep(folder, name)
            raise SynthesiserEnded("The synthesiser was ended from outside, perhaps for want of memory: try again.")
        finally:
            with self._changed:
                self._free_slots.append(slot)
                self._changed.notify()

    def close(self) -> None:
        """End the workers, what they are doing included, and remove their temporary files. Safe to call twice."""
        with self._changed:
            self._closed = True
            workers, self._workers = self._workers, [None] * len(self._workers)
        for worker in workers:
            if worker is not None:
                worker.end()

    def _take_slot(self, cancelled: Callable[[], bool] | None) -> int:
        with self._changed:
            while not self._free_slots:
                self._changed.wait(_POLL_S)
                if cancelled is not None and cancelled():
                    raise Cancelled
            return self._free_slots.pop()

    def _worker(self, slot: int) -> _Worker:
        """The worker of a slot that is the caller's; one that died idle is replaced."""
        with self._changed:
            if self._closed:
                raise Cancelled
            worker = self._workers[slot]
            if worker is not None and not worker.process.is_alive():
                _log.warning("A render worker died while it had nothing to do.")
                self._bury(worker)
                worker = None
            if worker is None:
                try:
                    worker = self._workers[slot] = _Worker(*self._arguments, self._board, slot)
                except OSError as error:
                    raise SetupProblem(f"No process can be started that makes sound ({error.strerror}).") from error
            return worker

    def _bury(self, worker: _Worker) -> None:
        worker.end()
        with self._changed:
            if self._workers[worker.slot] is worker:
                self._workers[worker.slot] = None


def _sweep(folder: Path, name: str) -> None:
    """Remove what a killed worker was writing for one piece."""
    for path in folder.glob(f".{name}.*.part"):
        path.unlink(missing_ok=True)
