"""What runs in the workers that the sound benchmark starts. It imports no more than the bot's own workers do."""

from __future__ import annotations

import hashlib
import resource
import time
from pathlib import Path

from engine.render.worker import Board, RenderJob, Warm

_warm: Warm | None = None  # set once by `start`, in worker processes only


def start(board: Board, scratch: str) -> None:
    """Make this process a worker as the bot has it: the `initializer` of a ProcessPoolExecutor."""
    global _warm  # noqa: PLW0603 -- an executor gives its initializer no other place
    _warm = Warm(None, None, board, scratch)


def warm() -> Warm:
    """What `start` made."""
    if _warm is None:
        raise RuntimeError("start was not called in this process")
    return _warm


def render(job: RenderJob) -> Path:
    """Render; the WAV."""
    return warm().render(job).wav


def cpu(job: RenderJob) -> float:
    """Render, and give the CPU seconds that this took, FluidSynth's included."""
    before_s = time.process_time() + children_s()
    warm().render(job)
    return time.process_time() + children_s() - before_s


def children_s() -> float:
    """CPU seconds of the children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def digest(job: RenderJob) -> str:
    """Render, and give one digest of all that came out."""
    rendered = warm().render(job)
    whole = hashlib.sha256()
    for data in (rendered.midi, rendered.wav.read_bytes(), rendered.ogg, rendered.roll_png):
        whole.update(hashlib.sha256(data).digest())
    rendered.wav.unlink()
    return whole.hexdigest()
