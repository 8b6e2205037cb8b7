"""The preview: the real bot and the real engine in simcord's page, on the loopback interface."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import aiohttp
from simcord.preview import Preview

from bot.discord.preview import open_preview
from bot.settings import load_settings


async def test_the_preview_serves_a_page_and_composes(checkpoint: Path, tmp_path: Path) -> None:
    settings = load_settings(None).model_copy(update={"checkpoint": checkpoint, "checkpoints_dir": tmp_path})
    async with asyncio.timeout(180), open_preview(settings) as page:
        assert page.url.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(page.url) as answer:
            assert answer.status == 200
        ada, grace = page.viewers
        assert (ada.name, grace.name) == ("ada", "grace")
        asked = await _quiet(page, ada.slash(page.channel, "compose", length=16, tempo=200, temp=0.5, seed=3))
        while len(asked.response.attachments) < 3:  # noqa: ASYNC110 - the page has no event for it
            await asyncio.sleep(0.1)

        (embed,) = asked.response.embeds
        assert embed.image.url is not None
        assert await _opens(page.url)

        card = await _quiet(page, ada.slash(page.channel, "about"))
        assert card.response.embeds[0].fields[0].value.startswith("`untrained-")
        listed = await _quiet(page, grace.slash(page.channel, "admin model list"))
        assert all(name in listed.response.embeds[0].description for name in ("▶️ `untrained-", "`v1-", "`v2-"))
        test = await _quiet(page, ada.slash(page.channel, "blind", request="length:16 tempo:200", model="v1"))
        while len(test.response.attachments) < 2:  # noqa: ASYNC110 - the page has no event for it
            await asyncio.sleep(0.1)
        assert [file.filename for file in test.response.attachments] == ["A.ogg", "B.ogg"]

        for _ in range(4):  # as many as one person may have: the page is not held up by those that wait
            await _quiet(page, ada.slash(page.channel, "compose", length=600, tempo=200))
        listed = await _quiet(page, ada.slash(page.channel, "queue"))
        buttons = [button for row in listed.response.components for button in row["components"]]
        assert len(buttons) == 4


async def _quiet(page: Preview, action: Coroutine[Any, Any, Any]) -> Any:
    """Do something when simcord, which refuses two things at once, is not letting time pass."""
    while page.env._operation_task is not None:  # noqa: ASYNC110 - simcord has no event for it
        await asyncio.sleep(0.01)
    return await action


async def _opens(url: str) -> bool:
    """Whether a browser that has the address is let in, and nobody else."""
    address, _, capability = url.partition("#")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{address}api/pages", json={}, headers={"X-Simcord-Capability": "guess"}) as refused:
            assert refused.status == 401
        headers = {"X-Simcord-Capability": capability}
        async with session.post(f"{address}api/pages", json={}, headers=headers) as opened:
            return opened.status == 200
