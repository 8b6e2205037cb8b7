"""The preview: the real bot and the real engine in simcord's page, on the loopback interface."""

import asyncio
from pathlib import Path

import aiohttp

from bot.discord.preview import open_preview
from bot.settings import load_settings


async def test_the_preview_serves_a_page_and_composes(checkpoint: Path) -> None:
    settings = load_settings(None).model_copy(update={"checkpoint": checkpoint})
    async with asyncio.timeout(90), open_preview(settings) as page:
        assert page.url.startswith("http://127.0.0.1:")
        async with aiohttp.ClientSession() as session, session.get(page.url) as answer:
            assert answer.status == 200
        ada, grace = page.viewers
        assert (ada.name, grace.name) == ("ada", "grace")
        # simcord refuses two things at once, and the preview lets time pass in between.
        while page.env._operation_task is not None:  # noqa: ASYNC110 - simcord has no event for it
            await asyncio.sleep(0.01)
        asked = await ada.slash(page.channel, "compose", length=16, tempo=200, temp=0.5, seed=3)
        while len(asked.response.attachments) < 3:  # noqa: ASYNC110 - the page has no event for it
            await asyncio.sleep(0.1)

        (embed,) = asked.response.embeds
        assert embed.image.url is not None
        assert await _opens(page.url)


async def _opens(url: str) -> bool:
    """Whether a browser that has the address is let in, and nobody else."""
    address, _, capability = url.partition("#")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{address}api/pages", json={}, headers={"X-Simcord-Capability": "guess"}) as refused:
            assert refused.status == 401
        headers = {"X-Simcord-Capability": capability}
        async with session.post(f"{address}api/pages", json={}, headers=headers) as opened:
            return opened.status == 200
