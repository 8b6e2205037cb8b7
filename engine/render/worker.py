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

from data.errors import MusicLSTMError
from data.keys import Key
from data.moods import Mood
from data.score import Score
from data.spaces import SPACES, Space
from engine.errors import Cancelled
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
    """Everything that `Renderer.render` needs, by value: it crosses a process."""

    score: Score
    title: str
    recipe: tuple[str, ...]
    folder: Path
    name: str
    mood: Mood
    space: Space | None
    slot: int
    key: Key | None = None


class Warm:
    """What a process keeps that renders one piece after another.

    Making it prepares this whole process: temporary files, memory, and that it does not outlive its parent.

    Args:
        soundfont: see `Renderer`.
        cache: see `Renderer`.
        board: shared memory for progress and cancellation, two integers for each slot.
        scratch: the folder for temporary files; its owner removes it after a crash.
    """

    def __init__(self, soundfont: Path | None, cache: Path | None, board: Board, scratch: str) -> None:
        with contextlib.suppress(OSError):  # it leads a group already
            # Ctrl-C is for the parent, which then closes; and FluidSynth can be ended together with its worker.
            os.setsid()
        tempfile.tempdir = self._scratch = scratch
        keep_memory()
        threading.Thread(target=_die_with_parent, args=(scratch,), daemon=True).start()
        self._renderer = Renderer(soundfont=soundfont, cache=cache)
        self._board = board

    def render(self, job: RenderJob) -> Rendered:
        """Raises what `Renderer.render` raises."""
        board, cell = self._board, 2 * job.slot
        os.makedirs(self._scratch, mode=0o700, exist_ok=True)  # noqa: PTH103 -- systems clear what lay there long unused

        def progress(percent: int) -> None:
            board[cell] = percent

        def cancelled() -> bool:
            return bool(board[cell + 1] == CANCELLED)

        return self._renderer.render(
            job.score,
            title=job.title,
            recipe=job.recipe,
            folder=job.folder,
            name=job.name,
            mood=job.mood,
            space=job.space,
            key=job.key,
            progress=progress,
            cancelled=cancelled,
        )


def keep_memory() -> None:
    """Let what is freed stay with this process: blocks of half a megabyte come and go ten thousand times a piece.

    Each time the kernel would take their pages and clear new ones, a twentieth of all work (mallopt(3); glibc only).
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, _KEPT_BYTES // 2)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


def prepare() -> None:
    """Make what all pieces share, so that the first need not wait."""
    for space in SPACES:
        _ = room(space, SAMPLE_RATE_HZ).wet


@dataclass(frozen=True, slots=True)
class Failure:
    """What a worker says instead of files."""

    error: Exception


def work(connection: Connection, soundfont: Path | None, cache: Path | None, board: Board, scratch: str) -> None:
    """The process: it takes its jobs from a pipe, until the pipe ends."""
    warm = Warm(soundfont, cache, board, scratch)
    if not connection.poll():
        prepare()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_outcome(warm, connection.recv()))
    shutil.rmtree(scratch, ignore_errors=True)


def _outcome(warm: Warm, job: RenderJob) -> Rendered | Failure:
    try:
        return warm.render(job)
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
