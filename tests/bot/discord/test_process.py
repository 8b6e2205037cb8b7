"""The bot as its own process against a Discord on the loopback interface: the real HTTP client, gateway and engine."""

import asyncio
import io
import os
import signal
import sys
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import symusic

from bot.history import History, State
from bot.settings import ROOT
from tests.bot.discord.loopback_discord import TOKEN, LoopbackDiscord

OPTIONS = [
    {"name": "mood", "type": 3, "value": "dark"},
    {"name": "length", "type": 4, "value": 16},
    {"name": "temp", "type": 10, "value": 0.9},
    {"name": "tempo", "type": 4, "value": 200},
    {"name": "seed", "type": 4, "value": 7},
]


@asynccontextmanager
async def bot_process(
    discord: LoopbackDiscord, folder: Path, checkpoint: Path, *, token: str = TOKEN
) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {
        **os.environ,
        "DISCORD_TOKEN": token,
        "MUSICLSTM_DISCORD_API": discord.url,
        "MUSICLSTM_DATABASE": str(folder / "history.db"),
        "MUSICLSTM_PIECES_DIR": str(folder / "pieces"),
        "MUSICLSTM_CHECKPOINT": str(checkpoint),
        "OMP_NUM_THREADS": "1",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bot",
        "bot",
        cwd=ROOT,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_process_answers_compose_over_http_and_gateway(tmp_path: Path, checkpoint: Path) -> None:
    async with LoopbackDiscord() as discord, bot_process(discord, tmp_path, checkpoint) as process:
        async with asyncio.timeout(150):
            await discord.identified.wait()
        # The first upload is refused twice: by a rate limit that discord.py itself gives up on, and by a failure.
        discord.failures.append(("PATCH", "/messages/@original", 429))
        discord.failures.append(("PATCH", "/messages/@original", 503))
        token = await discord.slash("compose", OPTIONS)

        acknowledged = await discord.wait_for("POST", f"{token}/callback")
        assert acknowledged.body == {"type": 5}
        while not (reply := await discord.wait_for("PATCH", f"{token}/messages/@original")).files:
            discord.requests.remove(reply)

        midi = next(data for name, data in reply.files.items() if name.endswith(".mid"))
        assert sum(len(track.notes) for track in symusic.Score.from_midi(midi).tracks) == 16
        wav = next(data for name, data in reply.files.items() if name.endswith(".wav"))
        with wave.open(io.BytesIO(wav)) as sound:
            assert sound.getnframes() > sound.getframerate()
        assert {each["filename"] for each in reply.body["attachments"]} == set(reply.files)

        async with History(tmp_path / "history.db") as history, asyncio.timeout(10):
            while (await history.newest())[0].state is not State.DELIVERED:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert process.stdout is not None
        said = (await process.stdout.read(1000)).decode()
        assert "connected to 1 servers" in said
        assert "scope=bot+applications.commands" in said
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
        intents = discord.identify["intents"]
    assert not intents & (1 << 1 | 1 << 8 | 1 << 15)  # members, presences, message content


async def test_a_refused_token_is_one_sentence(tmp_path: Path, checkpoint: Path) -> None:
    async with (
        LoopbackDiscord() as discord,
        bot_process(discord, tmp_path, checkpoint, token="wrong") as process,  # noqa: S106 - of nobody
        asyncio.timeout(150),
    ):
        _, said = await process.communicate()

    assert process.returncode == 78
    (sentence,) = said.decode().splitlines()
    assert "token" in sentence


async def test_a_discord_that_is_not_there_is_one_sentence(tmp_path: Path, checkpoint: Path) -> None:
    async with LoopbackDiscord() as discord:
        pass
    async with bot_process(discord, tmp_path, checkpoint) as process, asyncio.timeout(150):
        _, said = await process.communicate()

    assert process.returncode == 75  # whoever watches it starts it again
    (sentence,) = said.decode().splitlines()
    assert "cannot be reached" in sentence
