"""The bot in a browser: the real client and the real engine inside a simulated Discord, with no token and no network.

simcord plays Discord and serves one page on the loopback interface. It lets simulated time pass only when it is told
to, and it holds every action of the page until the bot has nothing left to do. A piece takes seconds, in which the
page should show how far it is; so the engine works outside of what simcord watches (`_Outside`), and `_flow` lets time
pass as it does on the wall.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import mimetypes
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import discord

from bot.discord import limits
from bot.discord.client import MusicLSTMClient, say_nothing_about_voice
from bot.history import History
from bot.models import Models
from bot.quota import Limits
from bot.settings import Settings
from bot.studio import Studio
from bot.swap import SwappableEngine
from engine.checkpoint import BUILT_IN, DEFAULT
from engine.errors import SetupProblem
from engine.local import LocalEngine, open_engine
from engine.types import ComposeRequest, Composition, Engine, Progress, ProgressCallback

if TYPE_CHECKING:
    from simcord.env import Env
    from simcord.preview import Preview

log = logging.getLogger(__name__)

_TICK_S = 0.5  # the page asks for news as often
# As many as both people may have at once: simcord waits for a piece that waits for its turn, and with it the page does.
# Behind these turns the engine has a queue of its own, which is shown as well.
_LIMITS = Limits(slots=2 * Limits().user_waiting)


def preview(settings: Settings, *, port: int = 0) -> int:
    """Serve the preview until Ctrl-C.

    Args:
        settings: the checkpoints and the soundfont; the preview's history is its own and ends with it.
        port: of the page; 0 takes a free one.

    Returns:
        the exit status.

    Raises:
        SetupProblem: simcord, FluidSynth, a soundfont or the model is missing; the port is taken.
    """
    asyncio.run(_serve(settings, port))
    return 0


async def _serve(settings: Settings, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows has no signal handlers in its event loop
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with open_preview(settings, port=port) as page:
        sys.stdout.write(f"The bot is at {page.url}\nOpen it in a browser and type /compose; Ctrl-C ends it.\n")
        sys.stdout.flush()
        waits = [asyncio.create_task(stopped.wait()), asyncio.create_task(page.wait_closed())]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()


@asynccontextmanager
async def open_preview(settings: Settings, *, port: int = 0, **look: Any) -> AsyncIterator[Preview]:
    """The page, with a server, a channel and two people, of whom Grace administers the server and owns the bot.

    Args:
        settings: as of `preview`.
        port: as of `preview`.
        look: of the page, as simcord's `Env.preview` takes it (`width`, `height`, `locale` …).

    Raises:
        SetupProblem: as `preview`.
    """
    say_nothing_about_voice()  # importing simcord makes clients, with nothing that anybody should be warned about
    logging.getLogger("discord.state").addFilter(_is_no_probe)
    try:
        from simcord.backend.errors import SetupError  # noqa: PLC0415  # a development requirement
        from simcord.env import Env  # noqa: PLC0415
    except ImportError as error:
        raise SetupProblem("The preview needs simcord: pip install -r requirements-dev.txt.") from error
    # simcord tells the kind of a file by its name and would try to play MIDI as recorded sound, which fails.
    mimetypes.add_type("application/octet-stream", ".mid")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musiclstm-preview-")))
        env: Env

        @asynccontextmanager
        async def open_studio() -> AsyncIterator[Studio]:
            (making := folder / "making").mkdir()

            async def load(checkpoint: Path) -> Engine:
                engine = await asyncio.to_thread(
                    open_engine, checkpoint=checkpoint, folder=making, soundfont=settings.soundfont
                )
                return _Outside(engine, env)

            current = settings.checkpoint or DEFAULT
            async with History(folder / "history.db") as history:
                engine = SwappableEngine(await load(current))
                folders = [BUILT_IN, settings.checkpoints_dir]
                models = Models(history, engine, load, folders=folders, default=current, current=current)
                pieces_dir = folder / "pieces"
                studio = Studio(engine, history, pieces_dir=pieces_dir, limits=_LIMITS, models=models)
                try:
                    yield studio
                finally:
                    await studio.aclose()

        client = MusicLSTMClient(
            open_studio,
            commands_memory=folder / "commands.json",
            shard_count=1,
            file_bytes_max=limits.FILE_BYTES_DEFAULT,  # simcord announces more than the page can play
        )
        env = Env(client, check_errors=False, settle_timeout=30.0)
        env.backend.bot_user.name = "MusicLSTM"
        await env.start()
        stack.push_async_callback(env.shutdown)
        stack.push_async_callback(client.close)
        await env.advance_time((datetime.now(UTC) - env.now()).total_seconds())
        channel, people = await _furnish(env)
        try:
            page = await stack.enter_async_context(
                env.preview(channel, viewers=people, layout="channel", port=port, **look)
            )
        except SetupError as error:
            raise SetupProblem(f"The preview cannot start: {error}.") from error
        flow = asyncio.create_task(_flow(env, page))
        stack.callback(flow.cancel)
        yield page


def _is_no_probe(record: logging.LogRecord) -> bool:
    return "intent seems to be disabled" not in record.getMessage()


async def _furnish(env: Env) -> tuple[Any, list[Any]]:
    guild = env.create_guild("Listening Station")
    channel = guild.create_text_channel("music", topic="Type /compose")
    guild.create_text_channel("best-of")
    administrator = guild.create_role("Administrators", permissions=discord.Permissions(administrator=True))
    ada = guild.add_member(env.create_user("ada", global_name="Ada"))
    grace = guild.add_member(env.create_user("grace", global_name="Grace"), roles=[administrator])
    await grace.send(channel, "Type `/compose`, pick a mood and press Enter. Everything here runs on your machine.")
    if env.bot.application is not None:
        env.bot.application.owner = cast(Any, grace.user)
    return channel, [ada, grace]


class _Outside:
    """An engine whose work simcord does not wait for: to simcord it is an answer from elsewhere."""

    def __init__(self, engine: LocalEngine, env: Env) -> None:
        self._engine = engine
        self._env = env

    @property
    def written_by(self) -> str | None:
        return self._engine.written_by

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        # simcord knows the bot's work by a context variable, which also says whose clock tells the time: a task begun
        # in an empty context is nobody's; what it tells the bot, it tells in the bot's context.
        inside = contextvars.copy_context()

        def tell(step: Progress) -> None:
            if progress is not None:
                inside.copy().run(progress, step)

        task = contextvars.Context().run(asyncio.create_task, self._engine.compose(request, tell))
        try:
            composition: Composition = await self._env.external_wait(task, reason="the engine composes")
        finally:
            task.cancel()
        return composition

    async def aclose(self) -> None:
        await self._engine.aclose()


async def _flow(env: Env, page: Preview) -> None:
    """Let simulated time follow the clock on the wall, and show what happened meanwhile."""
    from simcord.backend.errors import SetupError  # noqa: PLC0415

    turn = asyncio.Lock()
    act = page._action

    async def act_in_turn(*arguments: Any) -> Any:
        async with turn:  # simcord refuses two things at once; a click should wait instead
            return await act(*arguments)

    page._action = act_in_turn  # type: ignore[method-assign, assignment]
    shown = len(env.http_requests)
    while True:
        await asyncio.sleep(_TICK_S)
        async with turn:
            try:
                await env.advance_time(max(0.0, (datetime.now(UTC) - env.now()).total_seconds()))
                if len(env.http_requests) != shown:  # each refresh makes what is open in the browser out of date
                    shown = len(env.http_requests)
                    await page.refresh()
            except (SetupError, TimeoutError):
                log.debug("the page could not be brought up to date", exc_info=True)  # the next tick tries again
