import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.history import History, Requester
from bot.quota import Limits
from bot.studio import Studio
from tests.bot.small_engine import SmallEngine

ADA = Requester(front_end="discord", user_id="1", user_name="Ada", guild_id="10", channel_id="100")
BEN = Requester(front_end="discord", user_id="2", user_name="Ben", guild_id="10", channel_id="100")
EVE = Requester(front_end="discord", user_id="3", user_name="Eve", guild_id="20", channel_id="200")
TERMINAL = Requester(front_end="console", user_id="ada", user_name="ada")


class House:
    """A studio over a small engine and a real database, that can be shut and opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pieces_dir = folder / "pieces"
        self.now = datetime.now(UTC)
        self.engine = SmallEngine(folder / "engine")
        self.history: History
        self.studio: Studio

    async def open(self, limits: Limits | None = None) -> Studio:
        """A fresh studio, as a new process would have it."""
        self.engine = SmallEngine(self.folder / "engine")
        self.history = await History(self.folder / "history.db", clock=lambda: self.now).__aenter__()
        self.studio = Studio(self.engine, self.history, pieces_dir=self.pieces_dir, limits=limits or Limits())
        return self.studio

    async def shut(self) -> None:
        await self.studio.aclose()
        await self.history.__aexit__()

    def later(self, **span: float) -> None:
        """Move the clock."""
        self.now += timedelta(**span)

    def files(self) -> set[str]:
        """The names of all files that are left."""
        found = {path.name for folder in ("pieces", "engine") for path in (self.folder / folder).glob("*")}
        return found - {".database"}  # says whose pieces they are


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.open()
    yield house
    await house.shut()


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], Awaitable[None]]:
    """Wait until a condition holds, or fail after five seconds."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - the condition has no event
                await asyncio.sleep(0.002)

    return wait


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model as it is before any training: the same code path, and independent of what was learnt."""
    import torch  # noqa: PLC0415 - takes seconds, and most tests here need none of it

    from engine.checkpoint import save_checkpoint  # noqa: PLC0415
    from engine.model import NoteLSTM  # noqa: PLC0415
    from engine.model_config import ModelConfig  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("checkpoint")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_checkpoint(folder, NoteLSTM(ModelConfig()), {"name": "untrained", "limits": {"longest_pitch_run": 8}})
    return folder
