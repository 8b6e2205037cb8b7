import asyncio
import re
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from bot.errors import LimitReached
from bot.metrics import Metrics, serve
from bot.quota import Limits
from engine.errors import RenderFailed, SetupProblem
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, House

Until = Callable[[Callable[[], bool]], Awaitable[None]]


def _values(metrics: Metrics) -> dict[str, float]:
    lines = re.findall(r"^musiclstm_(\S+(?:\{state=\"\w+\"\})?) (\S+)$", metrics.text().decode(), re.MULTILINE)
    return {name: float(value) for name, value in lines}


async def test_what_happens_is_counted_once(house: House) -> None:
    await house.shut()
    studio = await house.open(Limits(user_per_hour=3))
    piece = await studio.compose(ComposeRequest(length_notes=16), ADA)
    house.later(seconds=4)
    for _ in range(2):
        await studio.mark_delivered(piece.record.id)
    house.engine.errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await studio.compose(ComposeRequest(), ADA)
    undelivered = await studio.compose(ComposeRequest(length_notes=16), ADA)
    await studio.mark_failed(undelivered.record.id, "The channel is gone.")
    for _ in range(2):
        await studio.compose(ComposeRequest(length_notes=16), ADA)
    with pytest.raises(LimitReached):
        await studio.compose(ComposeRequest(), ADA)
    values = _values(studio.metrics)
    assert values['requests_total{state="delivered"}'] == 1
    assert values['requests_total{state="failed"}'] == 2
    assert values['requests_total{state="cancelled"}'] == 0
    assert values["refused_total"] == 1
    assert values["sampling_seconds_count"] == values["real_time_factor_count"] == 4
    assert values["delivery_seconds_sum"] == 4
    assert values["waiting"] == values["making"] == 0


async def test_the_queue_is_read_when_asked_for(house: House, until: Until) -> None:
    await house.shut()
    studio = await house.open(Limits(slots=1))
    house.engine.gate.clear()
    tasks = [asyncio.create_task(studio.compose(ComposeRequest(), ADA)) for _ in range(3)]
    await until(lambda: studio.waiting == 2)
    values = _values(studio.metrics)
    assert (values["waiting"], values["making"]) == (2, 1)
    await studio.cancel(next(iter(studio.queue(ADA))).record.id, ADA)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert _values(studio.metrics)['requests_total{state="cancelled"}'] == 3


async def test_metrics_and_health_are_served_on_loopback() -> None:
    metrics = Metrics()
    async with serve(metrics, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession(address) as session:
            told = await session.get("/metrics")
            assert (told.status, await told.read()) == (200, metrics.text())
            assert told.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert await (await session.get("/health")).text() == "ok\n"
            assert (await session.get("/")).status == 404
            assert (await session.post("/health")).status == 405
        port = int(address.rpartition(":")[2])
        with pytest.raises(SetupProblem, match="MUSICLSTM_METRICS_PORT"):
            await serve(metrics, port).__aenter__()
