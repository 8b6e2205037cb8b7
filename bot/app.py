"""Putting the parts together: settings -> history, engine -> studio. Every front end starts here."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import shutil
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from bot.history import History
from bot.models import Models, promoted
from bot.quota import Limits
from bot.settings import Settings
from bot.studio import Studio
from bot.swap import SwappableEngine
from bot.training import Training
from data.errors import MusicLSTMError
from engine.errors import StorageProblem
from engine.garbage import keep_loaded
from engine.types import Engine

_log = logging.getLogger(__name__)

_IN_ADVANCE = 2  # pieces whose notes are written while every renderer is busy
_MAKING = "making-"  # folders of unfinished files, one for each process


@contextlib.asynccontextmanager
async def open_studio(settings: Settings, *, render_workers: int | None = None) -> AsyncIterator[Studio]:
    """The studio that the settings describe, closed at the end of the block.

    `render_workers` stands in for the setting: 0 suits a program that makes one piece and ends.

    Everything that can be missing (database, FluidSynth, soundfont, model) is found missing here, before any work.

    Raises:
        SetupProblem: with one sentence that says what to install or mend.
    """
    # Loaded only when pieces are to be made: `--help` and a typing error are answered at once.
    from engine.checkpoint import BUILT_IN, DEFAULT  # noqa: PLC0415
    from engine.local import open_engine  # noqa: PLC0415
    from engine.render import fitting_workers  # noqa: PLC0415

    workers = settings.render_workers if render_workers is None else render_workers
    if workers is None:
        workers = fitting_workers()
    limits = Limits(
        slots=workers + _IN_ADVANCE if settings.slots is None else settings.slots,
        queue=settings.queue_limit,
        user_waiting=settings.user_waiting,
        guild_waiting=settings.guild_waiting,
        user_per_hour=settings.user_per_hour,
        guild_per_hour=settings.guild_per_hour,
    )
    async with History(settings.database) as history:
        making = await asyncio.to_thread(_making_folder, settings.pieces_dir, history)
        try:

            async def load(checkpoint: Path, workers: int = workers) -> Engine:
                return await asyncio.to_thread(
                    open_engine,
                    checkpoint=checkpoint,
                    folder=making,
                    soundfont=settings.soundfont,
                    queue_limit=limits.slots,
                    render_workers=workers,
                )

            default = settings.checkpoint or DEFAULT
            # What an administrator promoted is used until the settings name a checkpoint themselves.
            current = settings.checkpoint or await promoted(history) or DEFAULT
            engine = SwappableEngine(await load(current))
            if workers:
                keep_loaded()
            folders = [BUILT_IN, settings.checkpoints_dir]
            pinned = settings.checkpoint is not None
            models = Models(
                history,
                engine,
                load,
                folders=folders,
                default=default,
                current=current,
                pinned=pinned,
                open_small=functools.partial(load, workers=min(workers, 1)),
            )
            training = Training(
                history,
                folder=settings.checkpoints_dir.parent / "training",
                checkpoints_dir=settings.checkpoints_dir,
                corpus=settings.corpus,
                pieces_dir=settings.pieces_dir,
            )
            pieces_dir = settings.pieces_dir
            studio = Studio(engine, history, pieces_dir=pieces_dir, limits=limits, models=models, training=training)
            upkeep = asyncio.create_task(_keep_tidy(studio, settings))
            try:
                yield studio
            finally:
                upkeep.cancel()
                await asyncio.wait({upkeep})
                await studio.aclose()
        finally:
            await asyncio.to_thread(shutil.rmtree, making, ignore_errors=True)


async def _keep_tidy(studio: Studio, settings: Settings) -> None:
    """At the start and every hour after it."""
    keep_for = timedelta(days=settings.retention_days) if settings.retention_days else None
    while True:
        try:
            await studio.tidy(keep_for=keep_for, budget_bytes=settings.sounds_mb * 1_000_000)
        except (MusicLSTMError, OSError):
            _log.exception("tidying up failed; it is tried again in an hour")
        await asyncio.sleep(3600.0)


def _making_folder(pieces_dir: Path, history: History) -> Path:
    """A folder for this process's unfinished files; those that killed processes have left are deleted."""
    try:
        for left in pieces_dir.glob(f"{_MAKING}*"):
            if not history.session_alive(left.name.removeprefix(_MAKING)):
                shutil.rmtree(left, ignore_errors=True)
        folder = pieces_dir.absolute() / f"{_MAKING}{history.session_id}"
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageProblem(f"Pieces cannot be kept in {pieces_dir}: {error.strerror}.") from error
    return folder
