"""A process that renders and stays warm: what runs in it. `engine.render.pool` starts it and watches over it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from data.moods import Mood
from data.score import Score
from data.spaces import SPACES, Space
from engine.errors import Cancelled, MusicLSTMError
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.renderer import Rendered, Renderer
from engine.render.space import room

_log = logging.getLogger(__name__)

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT_BYTES = 1 << 26  # at most what a piece takes at once; its sound, which is larger, is given back
CANCELLED = -1  # in a slot's second cell

Board = Any  # ctypes array of int: for each slot the percentage, and whether to stop


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
    board: Board


_here: _Here | None = None  # set once by start_worker, in worker processes only


def start_worker(soundfont: Path | None, cache: Path | None, board: Board, scratch: str) -> None:
    """Make this process a worker: the `initializer` of a ProcessPoolExecutor with the spawn method.

    Args:
        soundfont: see `Renderer`.
        cache: see `Renderer`.
        board: shared memory for progress and cancellation, two integers for each slot.
        scratch: the folder for temporary files; its owner removes it after a crash.
    """
    global _here  # noqa: PLW0603 -- a pool gives its initializer no other place
    with contextlib.suppress(OSError):  # it leads a group already
        os.setsid()  # Ctrl-C is for the parent, which then closes; and FluidSynth can be ended together with its worker
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
        return bool(board[cell + 1] == CANCELLED)

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


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker says instead of files."""

    error: Exception


def work(connection: Connection, soundfont: Path | None, cache: Path | None, board: Board, scratch: str) -> None:
    """The process: it takes its jobs from a pipe, until the pipe ends."""
    start_worker(soundfont, cache, board, scratch)
    if not connection.poll():
        ready()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_outcome(connection.recv()))
    shutil.rmtree(scratch, ignore_errors=True)


def _outcome(job: RenderJob) -> Rendered | Failure:
    try:
        return render_job(job)
    except (MusicLSTMError, Cancelled) as error:
        return Failure(error)
    except Exception as error:
        _log.exception("A piece could not be rendered.")  # here: what goes through a pipe leaves its traceback behind
        return Failure(error)


def _die_with_parent(scratch: str) -> None:
    """End this process when the one that started it ends, however that happens, and tidy up in its stead."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        shutil.rmtree(scratch, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.killpg(os.getpid(), signal.SIGKILL)  # FluidSynth too
        os._exit(1)
