"""Rendering in processes of its own, which stay warm.

The bot's process keeps its lock and its event loop to itself, and lives on when a render does not. `RenderPool` has the
methods of `Renderer` and can be used in its place, from any number of threads.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures import TimeoutError as NotYet
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.moods import Mood
from data.score import Score
from data.spaces import SPACES, Space
from engine.errors import Cancelled, RenderFailed
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.renderer import Rendered, Renderer
from engine.render.space import room

_log = logging.getLogger(__name__)

_POLL_S = 0.03
_ATTEMPTS = 2  # a worker that was killed may have been innocent; one that dies twice over a piece was not
_PATIENCE_S = 180.0  # beyond what FluidSynth's own deadline allows
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 1 << 26  # at most what a piece takes at once; its sound, which is larger, is given back
_CANCELLED = -1  # in a slot's second cell

_Board = Any  # ctypes array of int: for each slot the percentage, and whether to stop


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Everything that `render_job` needs, by value: it crosses a process."""

    score: Score
    title: str
    recipe: tuple[str, ...]
    folder: Path
    name: str
    mood: Mood
    space: Space | None
    slot: int


@dataclass(slots=True)
class _Here:
    """What a worker process keeps between jobs."""

    renderer: Renderer
    board: _Board


_here: _Here | None = None  # set once by start_worker, in worker processes only


def start_worker(soundfont: Path | None, cache: Path | None, board: _Board, scratch: str) -> None:
    """Make this process a worker: the `initializer` of a ProcessPoolExecutor with the spawn method.

    Args:
        soundfont: see `Renderer`.
        cache: see `Renderer`.
        board: shared memory for progress and cancellation, two integers for each slot.
        scratch: the folder for temporary files; its owner empties it after a crash.
    """
    global _here  # noqa: PLW0603 -- a pool gives its initializer no other place
    tempfile.tempdir = scratch
    keep_memory()
    threading.Thread(target=_die_with_parent, args=(scratch,), daemon=True).start()
    _here = _Here(Renderer(soundfont=soundfont, cache=cache), board)


def keep_memory() -> None:
    """Let what is freed stay with this process: blocks of half a megabyte come and go ten thousand times a piece.

    Each time the kernel would take their pages and clear new ones, a twentieth of all work (mallopt(3); glibc only).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def render_job(job: RenderJob) -> Rendered:
    """Render in a process that `start_worker` prepared. Raises what `Renderer.render` raises."""
    if _here is None:
        raise RuntimeError("start_worker was not called in this process")
    board, cell = _here.board, 2 * job.slot

    def progress(percent: int) -> None:
        board[cell] = percent

    def cancelled() -> bool:
        return bool(board[cell + 1] == _CANCELLED)

    return _here.renderer.render(
        job.score,
        title=job.title,
        recipe=job.recipe,
        folder=job.folder,
        name=job.name,
        mood=job.mood,
        space=job.space,
        progress=progress,
        cancelled=cancelled,
    )


def ready() -> int:
    """Make what all pieces share, so that the first need not wait; the process id, which says who answered."""
    for space in SPACES:
        _ = room(space, SAMPLE_RATE_HZ).wet
    return os.getpid()


class RenderPool:
    """Renderers in worker processes, with the methods of one `Renderer`.

    Args:
        workers: processes; each renders one piece at a time and keeps two cores busy.
        soundfont: see `Renderer`.
        cache: see `Renderer`.
    """

    def __init__(self, *, workers: int = 1, soundfont: Path | None = None, cache: Path | None = None) -> None:
        self._renderer = Renderer(soundfont=soundfont, cache=cache)
        self._workers = workers
        self._arguments = (soundfont, cache)
        self._scratch = tempfile.mkdtemp(prefix="musiclstm-render-")
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)  # also where nobody calls `close`
        self._board: _Board = multiprocessing.get_context("spawn").RawArray("i", 2 * workers)
        self._free_slots = list(range(workers))
        self._slot_freed = threading.Condition()
        self._lock = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None
        self._closed = False

    def check(self) -> None:
        """See `Renderer.check`. Also starts the workers, so that the first piece need not wait for them."""
        self._renderer.check()
        for _ in range(self._workers):
            self._running_pool().submit(ready)

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
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Rendered:
        """See `Renderer.render`. A worker that dies is replaced, and the piece is made again, with the same result.

        Closing the pool meanwhile raises Cancelled too.
        """
        slot = self._take_slot(cancelled)
        try:
            job = RenderJob(score, title, tuple(recipe), folder, name, mood, space, slot)
            for attempt in range(_ATTEMPTS):
                self._board[2 * slot] = self._board[2 * slot + 1] = 0
                pool = self._running_pool()
                try:
                    return self._wait(pool.submit(render_job, job), slot, score.duration_s, progress, cancelled)
                except (BrokenProcessPool, RuntimeError):
                    _log.warning("a render worker died (attempt %s of %s)", attempt + 1, _ATTEMPTS, exc_info=True)
                    self._replace(pool)
                    _sweep(folder, name)
            raise RenderFailed("The synthesiser crashed on this piece twice: try another seed.")
        finally:
            with self._slot_freed:
                self._free_slots.append(slot)
                self._slot_freed.notify()

    def close(self) -> None:
        """End the workers, what they are doing included, and remove their temporary files. Safe to call twice."""
        with self._lock:
            self._closed = True
            pool, self._pool = self._pool, None
        if pool is not None:
            _stop(pool)
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _wait(
        self,
        future: Future[Rendered],
        slot: int,
        duration_s: float,
        progress: Callable[[int], None] | None,
        cancelled: Callable[[], bool] | None,
    ) -> Rendered:
        deadline_s = time.monotonic() + _PATIENCE_S + 2 * duration_s
        seen = -1
        while True:
            with contextlib.suppress(NotYet):
                return future.result(_POLL_S)
            percent = self._board[2 * slot]
            if progress is not None and percent > seen:
                seen = percent
                progress(percent)
            if cancelled is not None and cancelled():
                self._board[2 * slot + 1] = _CANCELLED
            if time.monotonic() > deadline_s:
                raise RuntimeError("a render worker hangs")

    def _take_slot(self, cancelled: Callable[[], bool] | None) -> int:
        with self._slot_freed:
            while not self._free_slots:
                self._slot_freed.wait(_POLL_S)
                if cancelled is not None and cancelled():
                    raise Cancelled
            return self._free_slots.pop()

    def _running_pool(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._closed:
                raise Cancelled
            if self._pool is None:
                Path(self._scratch).mkdir(parents=True, exist_ok=True)
                self._pool = ProcessPoolExecutor(
                    self._workers,
                    mp_context=multiprocessing.get_context("spawn"),
                    initializer=start_worker,
                    initargs=(*self._arguments, self._board, self._scratch),
                )
            return self._pool

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        """Drop a pool that lost a worker, unless another thread has done so."""
        with self._lock:
            if self._pool is not broken:
                return
            self._pool = None
        _stop(broken)
        for path in Path(self._scratch).iterdir():
            shutil.rmtree(path, ignore_errors=True)


def _stop(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):  # the executor has no public way to end a running job
        process.kill()
    pool.shutdown(wait=True, cancel_futures=True)


def _sweep(folder: Path, name: str) -> None:
    """Remove what a killed worker was writing for one piece."""
    for path in folder.glob(f".{name}.*.part"):
        path.unlink(missing_ok=True)


def _die_with_parent(scratch: str) -> None:
    """End this process when the one that started it ends, however that happens, and tidy up in its stead."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)
