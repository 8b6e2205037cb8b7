"""Which checkpoints there are, which one the bot composes with, and changing that while it runs.

A checkpoint is a folder with `model.safetensors` and `model.json` (see `engine.checkpoint`, which also verifies it when
it is loaded; here only the JSON is read, so that a list costs nothing).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bot.errors import NotFound
from bot.history import History, Requester
from bot.options import did_you_mean, echo, nearest
from bot.servers import Servers
from bot.surely import surely
from bot.swap import SwappableEngine
from engine.card import Card, read_card
from engine.errors import CheckpointProblem, InvalidRequest
from engine.types import Engine

_log = logging.getLogger(__name__)

OpenEngine = Callable[[Path], Awaitable[Engine]]


@dataclass(frozen=True, slots=True)
class Model:
    """A checkpoint.

    Attributes:
        card: what its sidecar says.
        folder: where it is.
        current: whether the bot composes with it now.
    """

    card: Card
    folder: Path
    current: bool

    @property
    def id(self) -> str:
        """`NAME-XXXXXXXX`, as pieces carry it."""
        return self.card.id

    @property
    def valid_nats_per_note(self) -> float | None:
        """Loss on the validation part of its corpus; None if not said."""
        return next((each.nats_per_note for each in self.card.measures if each.part == "validation"), None)


class Models:
    """Lists, promotes and rolls back checkpoints. Whether somebody may is for the front end to check.

    Args:
        history: open; remembers the promotions.
        engine: the one in use, whose inside is swapped.
        open_engine: loads and verifies a checkpoint folder.
        folders: where checkpoints are looked for, each one a folder of checkpoint folders.
        default: the checkpoint to go back to before any promotion.
        current: the checkpoint that `engine` has now.
        open_small: the same for an engine that makes one piece; None: as `open_engine`.
        pinned: whether the settings name the checkpoint to start with: a promotion then holds until the next start.
    """

    def __init__(
        self,
        history: History,
        engine: SwappableEngine,
        open_engine: OpenEngine,
        *,
        folders: Sequence[Path],
        default: Path,
        current: Path,
        pinned: bool = False,
        open_small: OpenEngine | None = None,
    ) -> None:
        self.pinned = pinned
        self._history = history
        self._servers = Servers(history)
        self._engine = engine
        self._open_engine = open_engine
        self._open_small = open_small or open_engine
        self._folders = [*folders, default.parent]
        self._default = default
        self._current = current
        self._changing = asyncio.Lock()
        self._lending = asyncio.Lock()

    @property
    def written_by(self) -> str | None:
        """See `SwappableEngine.written_by`."""
        return self._engine.written_by

    async def all(self) -> list[Model]:
        """Every checkpoint that can be found, the newest first."""
        return await asyncio.to_thread(_list, self._folders, self._current)

    async def promote(self, model_id: str, by: Requester) -> Model:
        """Compose with another checkpoint from the next piece on. Pieces in the making are finished by the one before.

        Args:
            model_id: as listed, or the name before its dash where only one has it.
            by: the bot's owner.

        Raises:
            NotFound: no checkpoint of that id.
            CheckpointProblem: it cannot be loaded; nothing has changed.
        """
        model = await self.find(model_id)
        await self._change_to(model, by, "promote")
        return model

    async def find(self, model_id: str) -> Model:
        """The checkpoint of that id, or of that name where only one has it.

        Raises:
            NotFound: with the nearest.
        """
        models = await self.all()
        typed = model_id.strip().casefold()
        found = [model for model in models if typed in {model.id.casefold(), model.id.rpartition("-")[0].casefold()}]
        shown = echo(typed, 40)
        if len(found) > 1:
            raise NotFound("There are several checkpoints '{name}': say which one by its whole id.", name=shown)
        if not found:
            hint = did_you_mean(nearest(typed, [model.id for model in models], cutoff=0.3))
            raise NotFound("There is no checkpoint '{name}'{hint}.", name=shown, hint=hint)
        return found[0]

    async def rival(self) -> Model:
        """The newest checkpoint that is not in use.

        Raises:
            NotFound: there is no other.
        """
        for model in await self.all():
            if not model.current:
                return model
        raise NotFound("There is only one checkpoint here, so there is none to compare it with.")

    @contextlib.asynccontextmanager
    async def lend(self, model: Model) -> AsyncIterator[Engine]:
        """An engine with another checkpoint than the one in use, for the length of the block.

        Raises:
            CheckpointProblem: it cannot be loaded.
        """
        async with self._lending:  # one at a time: each takes the memory of a whole engine
            engine = await _opened(self._open_small, model.folder)
            try:
                yield engine
            finally:
                await engine.aclose()

    async def rollback(self, by: Requester) -> Model:
        """Go back to the checkpoint that was in use before the current one.

        Raises:
            InvalidRequest: there was none before.
            NotFound: its folder is gone.
            CheckpointProblem: it cannot be loaded; nothing has changed.
        """
        await self._note_current()
        rows = await self._history.rows("SELECT folder FROM promotions ORDER BY number DESC LIMIT 2", {})
        if not rows:
            raise InvalidRequest("", "No checkpoint was promoted yet, so there is none to go back to.")
        before = Path(rows[1]["folder"]) if len(rows) == 2 else self._default
        for model in await self.all():
            if model.folder.resolve() == before.resolve():
                await self._change_to(model, by, "rollback")
                return model
        raise NotFound("The checkpoint before, {folder}, is not there any more.", folder=before)

    async def _change_to(self, model: Model, by: Requester, action: str) -> None:
        async with self._changing:
            # Verified here: what cannot be loaded changes nothing.
            engine = await _opened(self._open_engine, model.folder)
            try:
                await self._note_current()
            except BaseException:
                await surely(engine.aclose())
                raise
            await self._engine.swap(engine)
            self._current = model.folder
            newest = await _newest(self._history)
            if newest != model.folder.resolve() and not (newest is None and model.current and not self.pinned):
                await self._note(model)
            await self._servers.note(None, by, action, model.id)

    async def _note_current(self) -> None:
        """Where the settings chose another checkpoint than the one promoted last: that is the one to go back to."""
        newest = await _newest(self._history)
        if newest is not None and newest != self._current.resolve():
            for model in await self.all():
                if model.current:
                    await self._note(model)

    async def _note(self, model: Model) -> None:
        await self._history.write(
            "INSERT INTO promotions (at, folder, checkpoint_id) VALUES (:now, :folder, :id)",
            {"now": self._history.now_text(), "folder": str(model.folder.resolve()), "id": model.id},
        )


async def promoted(history: History) -> Path | None:
    """The folder of the checkpoint that was promoted last, where it is still there; None means the settings' own."""
    folder = await _newest(history)
    if folder is None:
        return None
    if not (folder / "model.json").exists():
        _log.warning("the promoted checkpoint %s is gone: composing with the one of the settings", folder)
        return None
    return folder


async def _opened(open_engine: OpenEngine, folder: Path) -> Engine:
    """An engine; where whoever waits for it is cancelled meanwhile, it is closed as soon as it is open."""
    opening = asyncio.ensure_future(open_engine(folder))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await surely(_forgo(opening))
        raise


async def _forgo(opening: asyncio.Future[Engine]) -> None:
    with contextlib.suppress(Exception):  # what cannot be opened need not be closed
        await (await opening).aclose()


async def _newest(history: History) -> Path | None:
    rows = await history.rows("SELECT folder FROM promotions ORDER BY number DESC LIMIT 1", {})
    return Path(rows[0]["folder"]) if rows else None


def _list(folders: Sequence[Path], current: Path) -> list[Model]:
    models: dict[Path, Model] = {}
    for parent in folders:
        for sidecar in sorted(parent.glob("*/model.json")):
            folder = sidecar.parent.resolve()
            try:
                models[folder] = Model(read_card(folder), folder, folder == current.resolve())
            except CheckpointProblem as error:
                _log.warning("%s", error)
    return sorted(models.values(), key=lambda model: (model.card.date, model.id), reverse=True)
