"""The real bot in simcord's Discord, over the real studio and a real database.

Only the engine is small, where speed or a fault is wanted: its pieces are random walks, played by sine waves.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import discord
import pytest
from simcord.env import Env

from bot.discord import persist
from bot.discord.client import MusicLSTMClient
from bot.history import History, Record
from bot.quota import Limits
from bot.studio import Studio
from engine.errors import EngineClosed
from engine.types import ComposeRequest, Composition, Progress, ProgressCallback, Stage
from tests.bot.small_engine import small_piece


class SmallEngine:
    """Real notes, MIDI, WAV and PNG in milliseconds. While `gate` is closed, every piece stops halfway.

    Args:
        folder: where the WAV files go.
        seconds: how long the sound lasts, whatever the notes say.
    """

    checkpoint_id = "small-00000000"

    def __init__(self, folder: Path, *, seconds: float = 1.0) -> None:
        self.folder = folder
        self.seconds = seconds
        self.gate = asyncio.Event()
        self.gate.set()
        self.fails: list[Exception] = []  # raised one after the other instead of pieces
        self.closed = False
        self.made = 0
        self.env: Env

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        if self.closed:
            raise EngineClosed("The engine is shutting down.")
        if progress is not None:
            progress(Progress(Stage.SAMPLING, request.length_notes // 2, request.length_notes))
        if not self.gate.is_set():
            # simcord waits for whatever the bot is doing, unless it is told that somebody else has to act first.
            await self.env.external_wait(self.gate.wait(), reason="a piece that the test holds back")
        if self.closed:
            raise EngineClosed("The engine is shutting down.")
        if self.fails:
            raise self.fails.pop(0)
        self.made += 1
        return small_piece(request, self.checkpoint_id, self.folder, self.seconds)

    async def aclose(self) -> None:
        self.closed = True
        self.gate.set()


@dataclass
class House:
    """What a test may look into and turn: the engine of the next client, the limits, the files on disk."""

    folder: Path
    limits: Limits = field(default_factory=Limits)
    later: timedelta = timedelta()  # how far the history's clock is ahead
    engine: SmallEngine = field(init=False)
    env: Env | None = None

    def __post_init__(self) -> None:
        self.new_engine()

    def new_engine(self) -> None:
        self.engine = SmallEngine(self.folder / "engine")
        if self.env is not None:
            self.engine.env = self.env

    @property
    def database(self) -> Path:
        return self.folder / "history.db"

    @asynccontextmanager
    async def open_studio(self) -> AsyncIterator[Studio]:
        async with History(self.database, clock=lambda: datetime.now(UTC) + self.later) as history:
            studio = Studio(self.engine, history, pieces_dir=self.folder / "pieces", limits=self.limits)
            try:
                yield studio
            finally:
                await studio.aclose()

    def client(self) -> MusicLSTMClient:
        return MusicLSTMClient(self.open_studio, commands_memory=self.folder / "commands.json", shard_count=1)

    def client_after_kill(self) -> MusicLSTMClient:
        """A new process over what a kill -9 would have left on disk at this moment, with an engine of its own."""
        killed = self.folder / "killed"
        killed.mkdir()
        for path in self.folder.glob("history.db*"):
            if path.is_dir():
                shutil.copytree(path, killed / path.name)
            else:
                shutil.copy(path, killed / path.name)
        if (pieces := self.folder / "pieces").exists():
            shutil.copytree(pieces, killed / "pieces")
        shutil.copy(self.folder / "commands.json", killed)
        self.folder = killed
        self.new_engine()
        return self.client()

    async def records(self) -> list[Record]:
        """All requests, the newest first."""
        async with History(self.database) as history:
            return await history.newest(limit=100_000)

    async def only_record(self) -> Record:
        """The one request that there is."""
        (record,) = await self.records()
        return record


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@pytest.fixture
def simcord_bot(house: House) -> MusicLSTMClient:
    return house.client()


@pytest.fixture
async def closing(simcord_env, house: House) -> AsyncIterator[Callable[[MusicLSTMClient], None]]:
    """Closes the clients that are handed to it, and the first one."""
    house.env = house.engine.env = simcord_env
    clients = [simcord_env.bot]
    yield clients.append
    for client in clients:
        await client.close()


@pytest.fixture
def guild(simcord_env):
    return simcord_env.create_guild("Station")


@pytest.fixture
def channel(guild):
    return guild.create_text_channel("music")


@pytest.fixture
def ada(simcord_env, guild):
    return guild.add_member(simcord_env.create_user("ada"))


@pytest.fixture
def ben(simcord_env, guild):
    return guild.add_member(simcord_env.create_user("ben"))


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What Discord refuses for the moment is tried again at once."""
    monkeypatch.setattr(persist, "_pause_s", lambda error, _: 0.01 if error.status in {429, 500, 503} else None)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were fetched from Discord."""
    names: list[str] = []
    read = discord.Attachment.read

    async def noted(self: discord.Attachment, **options: Any) -> bytes:
        names.append(self.filename)
        return await read(self, **options)

    monkeypatch.setattr(discord.Attachment, "read", noted)
    return names
