"""Making the two pieces of a blind listening test, and going on with them after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.blind import BlindTest, over
from bot.errors import Cancelled, NotFound
from bot.history import Requester, State
from bot.models import Model, Models
from bot.pieces import Piece
from bot.surely import surely
from data.errors import MusicLSTMError
from engine.errors import EngineClosed, InvalidRequest, SetupProblem
from engine.types import ComposeRequest, Composition, ProgressCallback, Stage, new_id

if TYPE_CHECKING:
    from bot.studio import Studio
    from bot.workshop import Update, UpdateCallback


@dataclass(frozen=True, slots=True)
class Pair:
    """A test whose pieces are finished. Mark both delivered."""

    test: BlindTest
    left: Piece
    right: Piece


async def compose_pair(
    studio: Studio,
    request: ComposeRequest,
    requester: Requester,
    *,
    model_id: str | None = None,
    progress: UpdateCallback | None = None,
) -> Pair:
    """Make one request twice at the same time: with the checkpoint in use and with another.

    Args:
        studio: open.
        request: what to make.
        requester: who asks, and where.
        model_id: the other checkpoint, as listed; None takes the newest.
        progress: told how far the slower piece is.

    Raises:
        NotFound: no such checkpoint, or none but the one in use.
        InvalidRequest: it is the one in use.
        SetupProblem: there is no choice of checkpoints here, or the other one cannot be loaded.
        and as `Studio.compose`; nothing is left of the piece whose rival failed.
    """
    models = _models(studio)
    model = await (models.rival() if model_id is None else models.find(model_id))
    if model.current:
        raise InvalidRequest("model", "{id} is the one in use: choose another to compare it with.", id=model.id)
    challenge = replace(request, id=new_id())
    test_id = await studio.blind_tests.plan(request.id, challenge.id, model.id)
    tell, lent = _slower(progress), _Lent(models, model)
    return await _both(
        studio,
        test_id,
        {
            request.id: studio.compose(request, requester, tell, private=True),
            challenge.id: studio.compose(challenge, requester, tell, private=True, engine=lent),
        },
    )


async def resume_pair(studio: Studio, test: BlindTest, progress: UpdateCallback | None = None) -> Pair:
    """Go on with a test whose pieces `Studio.recover` returned.

    Raises:
        NotFound: one of its pieces was given up, or its checkpoint is gone.
        and as `Studio.resume`.
    """
    if over(test):
        await _drop(studio, test.id, [test.left.id, test.right.id], {State.FAILED, State.CANCELLED})
        raise NotFound("That listening test is not there any more.")
    try:
        models = _models(studio)
        lent = _Lent(models, await models.find(test.challenger_model))
    except MusicLSTMError as error:  # it will not come back by waiting for it
        for record in (test.left, test.right):
            await studio.mark_failed(record.id, str(error))
        await studio.blind_tests.drop(test.id)
        raise
    tell = _slower(progress)
    making = {
        record.id: studio.resume(record, tell, engine=lent if record.id == test.challenger_id else None)
        for record in (test.left, test.right)
    }
    return await _both(studio, test.id, making)


def _models(studio: Studio) -> Models:
    if studio.models is None:
        raise SetupProblem("There is no choice of checkpoints here.")
    return studio.models


async def _both(studio: Studio, test_id: str, making: dict[str, Coroutine[Any, Any, Piece]]) -> Pair:
    tasks = [asyncio.create_task(each) for each in making.values()]
    try:
        pieces = {piece.record.id: piece for piece in await asyncio.gather(*tasks)}
    except Exception as error:
        for task in tasks:
            task.cancel()
        await surely(asyncio.wait(tasks))
        if not isinstance(error, EngineClosed):  # which leaves both to the next start
            kept = {State.FAILED, State.CANCELLED} if isinstance(error, Cancelled) else {State.FAILED}
            await surely(_drop(studio, test_id, list(making), kept))
        raise
    test = await studio.blind_tests.get(test_id)
    return Pair(test, pieces[test.left.id], pieces[test.right.id])


async def _drop(studio: Studio, test_id: str, piece_ids: list[str], kept: set[State]) -> None:
    """Forget the test and what is of no use alone; pieces in the states of `kept` stay in history."""
    await studio.blind_tests.drop(test_id)
    for piece_id in piece_ids:
        record = await studio.history.get(piece_id)
        if record is not None and record.state not in kept:
            await studio.discard(record)


class _Lent:
    """The Engine protocol over another checkpoint than the one in use, which is loaded when its piece has its turn."""

    def __init__(self, models: Models, model: Model) -> None:
        self._models = models
        self._model = model

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        async with self._models.lend(self._model) as engine:
            return await engine.compose(request, progress)

    async def aclose(self) -> None:
        """Nothing is held between pieces."""


def _slower(progress: UpdateCallback | None) -> UpdateCallback | None:
    """Of the news of two pieces, only those of the one that is behind."""
    if progress is None:
        return None
    latest: dict[str, Update] = {}

    def tell(update: Update) -> None:
        latest[update.record.id] = update
        progress(min(latest.values(), key=_advance))

    return tell


def _advance(update: Update) -> tuple[int, float]:
    if update.stage is Stage.QUEUED:
        return 0, -update.done
    return list(Stage).index(update.stage), update.done / max(1, update.total)
