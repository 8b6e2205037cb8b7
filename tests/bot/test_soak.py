"""Everything at random, faults included: each request ends, and history, files and queue agree on how."""

import asyncio
import random
from dataclasses import replace

import pytest

from bot.history import Record, Requester, State
from bot.quota import Limits
from data.errors import MusicLSTMError
from engine.errors import RenderFailed
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, TERMINAL, House


class _Life:
    """People who compose, cancel, delete, look back and forget, while the engine fails and the bot restarts."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.rng = random.Random(seed)
        self.people = [replace(ADA, user_id=str(i), guild_id=self.rng.choice(["10", "20", None])) for i in range(8)]
        self.people.append(TERMINAL)
        self.tasks: set[asyncio.Task[None]] = set()
        self.open: list[str] = []

    def spawn(self, work: object) -> asyncio.Task[None]:
        task = asyncio.create_task(work)  # type: ignore[arg-type]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def compose(self, who: Requester) -> None:
        request = ComposeRequest(length_notes=self.rng.randint(16, 40))
        self.open.append(request.id)
        try:
            await self.house.studio.compose(request, who)
            if self.rng.random() < 0.9:
                await self.house.studio.mark_delivered(request.id)
            else:
                await self.house.studio.mark_failed(request.id, "The channel is gone.")
        except MusicLSTMError:
            pass

    async def resume(self, record: Record) -> None:
        try:
            await self.house.studio.resume(record)
            await self.house.studio.mark_delivered(record.id)
        except MusicLSTMError:
            pass

    async def something(self) -> None:
        who = self.rng.choice(self.people)
        piece_id = self.rng.choice(self.open or ["none"])
        studio = self.house.studio
        chance = self.rng.random()
        try:
            if chance < 0.5:
                task = self.spawn(self.compose(who))
                if self.rng.random() < 0.15:
                    await asyncio.sleep(self.rng.random() * 0.01)
                    task.cancel()
            elif chance < 0.6:
                await studio.cancel(piece_id, who, moderator=True)
            elif chance < 0.68:
                await studio.delete(piece_id, who)
            elif chance < 0.78:
                await studio.remake(piece_id, who)
            elif chance < 0.9:
                await studio.library.set_favourite(await studio.find(piece_id, who), who)
            elif chance < 0.97:
                self.house.engine.errors.append(self.rng.choice([RenderFailed("No sound."), RuntimeError("a bug")]))
            else:
                await studio.forget(who)
        except MusicLSTMError:
            pass

    async def restart(self) -> None:
        await self.house.shut()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.house.open(Limits(slots=2, user_waiting=6))
        for record in await self.house.studio.recover("discord"):
            self.spawn(self.resume(record))


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_whatever_happens_every_request_ends_and_nothing_is_left_over(seed: int, house: House) -> None:
    life = _Life(house, seed)
    await life.restart()
    for step in range(1, 181):
        await life.something()
        if step % 60 == 0:
            await life.restart()
        elif life.rng.random() < 0.2:
            await asyncio.sleep(0.005)
    while life.tasks:
        await asyncio.gather(*life.tasks, return_exceptions=True)
    records = await house.history.newest(limit=10_000)
    assert len(records) > 5
    assert {record.state for record in records} <= {State.DELIVERED, State.FAILED, State.CANCELLED}
    assert all(record.error for record in records if record.state is State.FAILED)
    assert all(record.result for record in records if record.state is State.DELIVERED)
    assert house.studio.waiting == 0
    assert all(house.studio.queue(who) == [] for who in life.people)
    kept = {record.id for record in records if record.result is not None}
    left = {name for name in house.files() if name.partition(".")[0].removesuffix("-again") not in kept}
    assert not left, [(name, [record for record in records if record.id in name]) for name in left]
