"""What whoever waits for a piece is told: how far it is, and how long it takes."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.workshop import Update
from engine.types import ComposeRequest, Progress, Stage
from tests.bot.conftest import ADA, House
from tests.bot.small_engine import SmallEngine

Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def test_progress_goes_through_the_stages_in_order(house: House) -> None:
    updates: list[Update] = []
    await house.studio.compose(ComposeRequest(length_notes=32), ADA, updates.append)
    assert [(u.stage, u.done, u.total) for u in updates] == [
        (Stage.SAMPLING, 16, 32),
        (Stage.SAMPLING, 32, 32),
        (Stage.RENDERING, 0, 100),
        (Stage.RENDERING, 100, 100),
    ]


async def test_a_progress_display_that_fails_does_not_stop_the_piece(house: House) -> None:
    def broken(_: Update) -> None:
        raise RuntimeError("no such message")

    assert (await house.studio.compose(ComposeRequest(), ADA, broken)).record.result is not None


async def test_the_rest_of_a_sound_is_estimated_from_its_own_pace(house: House, monkeypatch) -> None:
    class Sounding(SmallEngine):
        async def compose(self, request, progress=None):
            for percent in (0, 5, 50, 90):
                progress(Progress(Stage.RENDERING, percent, 100))
                await asyncio.sleep(0.02)
            return await super().compose(request)

    monkeypatch.setattr(house.studio._workshop, "_engine", Sounding(house.folder / "engine"))
    house.studio._turns.learn(1, 1000.0)  # short pieces took long, so that this one would take days
    updates: list[Update] = []
    await house.studio.compose(ComposeRequest(), ADA, updates.append)
    left = [update.remaining_s for update in updates if update.stage is Stage.RENDERING]
    assert left[0] == pytest.approx(200_000, rel=0.01)
    assert left[1] == pytest.approx(200_000, rel=0.01)
    assert 0 < left[3] < left[2] < 5


async def test_what_is_left_counts_down_for_whoever_looks(house: House, until: Until) -> None:
    house.studio._turns.learn(1, 10.0)
    house.engine.gate.clear()
    task = asyncio.create_task(house.studio.compose(ComposeRequest(length_notes=16), ADA))
    await until(lambda: any(update.stage is Stage.SAMPLING for update in house.studio.queue(ADA)))
    (job,) = house.studio._workshop._jobs.values()
    left = []
    for later_s in (0.0, 30.0, 300.0):
        job.told_at -= later_s
        left += [update.remaining_s for update in house.studio.queue(ADA)]
    assert left == pytest.approx([160.0, 130.0, 0.0], abs=5.0)
    house.engine.gate.set()
    await task


async def test_behind_others_in_the_engine_a_pieces_own_pace_is_not_told(house: House, monkeypatch) -> None:
    class Busy(SmallEngine):
        async def compose(self, request, progress=None):
            progress(Progress(Stage.QUEUED, 1, 1))
            return await super().compose(request, progress)

    monkeypatch.setattr(house.studio._workshop, "_engine", Busy(house.folder / "engine"))
    house.studio._turns.learn(1, 10.0)
    updates: list[Update] = []
    await house.studio.compose(ComposeRequest(), ADA, updates.append)
    assert [update.remaining_s for update in updates if update.stage is Stage.QUEUED and update.done == 1] == [None]
    assert all(update.remaining_s for update in updates if update.stage is Stage.SAMPLING)
