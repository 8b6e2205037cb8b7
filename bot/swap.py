"""An engine behind which another can take its place while pieces are being made."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field

from engine.errors import EngineClosed
from engine.types import ComposeRequest, Composition, Engine, ProgressCallback

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class _Shift:
    """One engine and the pieces that it still has to make."""

    engine: Engine
    pieces: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class SwappableEngine:
    """The Engine protocol over whichever engine is current. A swap loses no piece: what began with one ends with it.

    Args:
        engine: the first one; owned from now on.
    """

    def __init__(self, engine: Engine) -> None:
        self._current = _Shift(engine)
        self._retiring: dict[asyncio.Task[None], _Shift] = {}
        self._closed = False

    @property
    def written_by(self) -> str | None:
        """What writes the notes of the current engine, for an administrator; None where it does not say."""
        return getattr(self._current.engine, "written_by", None)

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        """Make one piece with the engine that is current now; see `engine.types.Engine`."""
        shift = self._current
        shift.pieces += 1
        shift.idle.clear()
        try:
            return await shift.engine.compose(request, progress)
        finally:
            shift.pieces -= 1
            if not shift.pieces:
                shift.idle.set()

    async def swap(self, engine: Engine) -> None:
        """Compose with `engine` from now on; the one before it is closed when its last piece is finished.

        Raises:
            EngineClosed: `aclose` was called; `engine` is closed too.
        """
        if self._closed:
            await engine.aclose()
            raise EngineClosed("The bot is stopping; try again when it is back.")
        before, self._current = self._current, _Shift(engine)
        task = asyncio.create_task(_retire(before))
        self._retiring[task] = before
        task.add_done_callback(self._retiring.pop)

    async def aclose(self) -> None:
        """Close every engine; see `engine.types.Engine`."""
        self._closed = True
        for shift in self._retiring.values():
            shift.idle.set()  # its pieces are not waited for; a task that is cancelled might not close it
        if self._retiring:
            await asyncio.wait(self._retiring)
        await self._current.engine.aclose()


async def _retire(shift: _Shift) -> None:
    try:
        if shift.pieces:
            await shift.idle.wait()
    finally:
        with contextlib.suppress(Exception):
            await shift.engine.aclose()
        _log.info("an earlier engine is closed")
