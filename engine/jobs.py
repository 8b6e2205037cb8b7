"""One piece on its way through an engine: what it reports to its caller's event loop, and how its work is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from engine.types import ComposeRequest, Progress, ProgressCallback, Stage

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True, eq=False)
class Job:
    """One piece on its way.

    Attributes:
        turn: done when the piece may begin; it raises Cancelled when the engine is closed before that.
        stop: set to stop work in a thread.
        told: the last report.
    """

    request: ComposeRequest
    progress: ProgressCallback | None
    loop: asyncio.AbstractEventLoop
    turn: asyncio.Future[None]
    stop: threading.Event = field(default_factory=threading.Event)
    told: Progress | None = None

    def tell(self, stage: Stage, done: int, total: int) -> None:
        """Report on the event loop's thread; called there. Work that is begun again is told once it is further."""
        now = Progress(stage, done, total)
        if self.progress is None or now == self.told:
            return
        if stage is not Stage.QUEUED and self.told is not None and self.told.stage is stage and self.told.done > done:
            return
        self.told = now
        try:
            self.progress(now)
        except Exception:  # a listener that is broken stops neither its piece nor what the others are told
            log.exception("The progress of piece %s could not be shown.", self.request.id)

    def tell_from_thread(self, stage: Stage, done: int, total: int) -> None:
        """Report from a worker thread; costs nothing when nobody listens."""
        if self.progress is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: whoever listened is gone
                self.loop.call_soon_threadsafe(self.tell, stage, done, total)


async def settled(future: asyncio.Future[_T], stop: Callable[[], None]) -> _T:
    """Await work in a thread; when the awaiting task is cancelled, stop it and wait until it has cleaned up.

    However often it is cancelled: whoever lost patience twice is not told that all is over while it still works.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        stop()
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({future})
        if not future.cancelled():
            future.exception()  # seen: what a stopped job says is of no interest
        raise


def in_steps(job: Job, stage: Stage, total: int) -> Callable[[int], None]:
    """A progress callback for a worker thread that reports at most a hundred times, and always the end."""
    step = max(1, total // 100)

    def tell(done: int) -> None:
        if done % step == 0 or done == total:
            job.tell_from_thread(stage, done, total)

    return tell
