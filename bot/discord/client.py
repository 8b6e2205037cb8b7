"""The bot on Discord's gateway.

It asks for no privileged intent: it is told about servers and channels, and about messages, of which only those that
mention it or are written to it have text. Commands, buttons and forms arrive as interactions, which need no intent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import discord
import yarl
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route

from bot.discord import blind, limits, lookback, messages
from bot.discord.actions import take_away
from bot.discord.buttons import DYNAMIC_ITEMS, cancel_view, piece_view
from bot.discord.commands import add_commands
from bot.discord.composing import Composer
from bot.discord.errors import ALREADY_ACKNOWLEDGED, TRANSIENT, UNKNOWN_INTERACTION, sentence_for, tell
from bot.discord.live_training import follow
from bot.discord.models import TrainingButton, look
from bot.discord.permissions import invite_url
from bot.discord.posts import ChannelPost
from bot.discord.privacy import ForgetButton
from bot.discord.rating import is_rating, take_rating
from bot.discord.recognising import RecipeButton
from bot.discord.sync import sync_when_changed
from bot.discord.texts import Translator, server_locale
from bot.errors import Unreachable
from bot.history import Record
from bot.studio import Studio
from engine.errors import SetupProblem

log = logging.getLogger(__name__)

OpenStudio = Callable[[], AbstractAsyncContextManager[Studio]]

DOUBLE_CLICK_S = 1.0
GOODBYE_WITHIN_S = 8.0  # systemd and Docker wait 10 s and more before they kill


class MusicLSTMClient(discord.AutoShardedClient):
    """One per process. `setup_hook` opens the studio, `close` closes it.

    Args:
        open_studio: opens engine and history; the client owns what it yields.
        commands_memory: the file that remembers which commands Discord has.
        shard_count: None asks Discord, which also tells the gateway's address.
        file_bytes_max: post no larger file than this even where Discord would take it; None: whatever Discord takes.
    """

    def __init__(
        self,
        open_studio: OpenStudio,
        *,
        commands_memory: Path,
        shard_count: int | None = None,
        file_bytes_max: int | None = None,
    ) -> None:
        say_nothing_about_voice()
        intents = discord.Intents.none()
        intents.guilds = True
        intents.guild_messages = intents.dm_messages = True  # of which only those written to the bot have text
        super().__init__(
            intents=intents,
            shard_count=shard_count,
            allowed_mentions=discord.AllowedMentions.none(),
            member_cache_flags=discord.MemberCacheFlags.none(),
            chunk_guilds_at_startup=False,
            max_messages=None,  # nothing reads the message cache
        )
        self._open_studio = open_studio
        self._commands_memory = commands_memory
        self._file_bytes_max = file_bytes_max
        self._closing = AsyncExitStack()
        self._tasks: set[asyncio.Task[None]] = set()
        self.started_at = datetime.now(UTC)
        self._presses: dict[tuple[int, str | None], float] = {}
        _complete_events(self._connection.parsers)
        self.tree = _Tree(self)
        add_commands(self.tree)
        self.studio: Studio
        self.composer: Composer

    async def setup_hook(self) -> None:
        """Before the gateway is connected: engine, history, commands. What was left unfinished goes on when ready."""
        self.studio = await self._closing.enter_async_context(self._open_studio())
        self.composer = Composer(
            self.studio,
            piece_buttons=piece_view,
            cancel_button=cancel_view,
            file_bytes_max=self._file_bytes_max,
        )
        await self.tree.set_translator(Translator())
        self.add_dynamic_items(
            *DYNAMIC_ITEMS, *lookback.DYNAMIC_ITEMS, blind.BlindButton, ForgetButton, RecipeButton, TrainingButton
        )
        if not Route.BASE.startswith("https://discord.com/"):
            # What discord.py connects to when it cannot resume, instead of Discord's own address.
            _, gateway, _ = await self.http.get_bot_gateway()
            DiscordWebSocket.DEFAULT_GATEWAY = yarl.URL(gateway)
        try:
            await sync_when_changed(self.tree, self._commands_memory)
        except (discord.HTTPException, *TRANSIENT):
            log.exception("the commands could not be sent; people go on with those that Discord has")
        library = self.studio.library
        self.spawn(take_away(self, library, await library.unwanted()))
        await self._go_on(await self.studio.recover("discord"))

    async def on_ready(self) -> None:
        """Once at each new session; nothing is done here but saying so."""
        log.info("connected as %s to %d servers", self.user, len(self.guilds))

    async def on_interaction(self, interaction: discord.Interaction[Any]) -> None:
        """Forms come here, because discord.py forgets over a restart which form somebody has open."""
        if is_rating(interaction):
            await take_rating(interaction)

    async def on_message(self, message: discord.Message) -> None:
        """Messages that are written to the bot ask for pieces too."""
        await messages.answer(self, message)

    async def first_press(self, interaction: discord.Interaction[Any]) -> bool:
        """Whether this is not the second half of a double click; that one is acknowledged and nothing else."""
        data: Any = interaction.data or {}
        press = (interaction.user.id, data.get("custom_id"))
        now = time.monotonic()
        self._presses = {each: at for each, at in self._presses.items() if now - at < DOUBLE_CLICK_S}
        if press in self._presses:
            await interaction.response.defer()
            return False
        self._presses[press] = now
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something of the client's own; `close` waits for it a little."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _go_on(self, records: list[Record]) -> None:
        tests = {}
        for record in records:
            test = await self.studio.blind_tests.of(record.id)
            if test is None:
                self.spawn(self._resume(record))
            else:
                tests[test.id] = test
        for test in tests.values():
            self.spawn(blind.resume(self, test))
        run = None if self.studio.training is None else await self.studio.training.latest()
        if run is not None:
            self.spawn(self._follow(run.id))

    async def _follow(self, run_id: str) -> None:
        await self.wait_until_ready()
        training = self.studio.training
        message = None if training is None else await training.message(run_id)
        channel = None if message is None else self.get_channel(int(message.channel_id))
        guild: discord.Guild | None = getattr(channel, "guild", None)
        locale = None if guild is None else guild.preferred_locale
        await follow(self, run_id, lambda run: look(run, locale))

    async def _resume(self, record: Record) -> None:
        await self.wait_until_ready()  # the channels, and with them what a server lets us post, are known from now on
        requester, message = record.requester, record.message
        post = ChannelPost(
            self,
            user_id=int(requester.user_id),
            # Nobody but Discord can edit a message that only one person sees; it comes as a direct message instead.
            channel_id=None if record.private or requester.channel_id is None else int(requester.channel_id),
            message_id=None if message is None else int(message.message_id),
            locale=server_locale(self, requester.guild_id),
            nonce=record.id,
        )
        await self.composer.resume(post, record)

    async def close(self) -> None:
        """Leave unfinished requests to the next start, say so to their people, and disconnect. Safe to call twice."""
        if hasattr(self, "studio"):
            await self.studio.aclose()
            await self.composer.goodbyes(GOODBYE_WITHIN_S)
        await super().close()
        await self._closing.aclose()


def _complete_events(parsers: dict[str, Callable[[Any], None]]) -> None:
    """Fill in what discord.py takes for granted and Discord's documentation calls optional."""
    ready, interaction = parsers["READY"], parsers["INTERACTION_CREATE"]

    def complete_interaction(data: dict[str, Any]) -> None:
        filled: dict[str, Any] = {"attachment_size_limit": limits.FILE_BYTES_DEFAULT}
        if "channel_id" in data:
            filled["channel"] = {"id": data["channel_id"], "type": 0 if data.get("guild_id") else 1}
        interaction(filled | data)

    # https://discord.com/developers/docs/events/gateway-events#ready-ready-event-fields
    parsers["READY"] = lambda data: ready({"shard": [0, 1]} | data)
    # https://discord.com/developers/docs/interactions/receiving-and-responding#interaction-object-interaction-structure
    parsers["INTERACTION_CREATE"] = complete_interaction


class _Tree(app_commands.CommandTree[MusicLSTMClient]):
    """Tells people what discord.py itself finds wrong with an interaction, such as a command of an older version."""

    async def on_error(
        self, interaction: discord.Interaction[MusicLSTMClient], error: app_commands.AppCommandError, /
    ) -> None:
        cause: BaseException = error.original if isinstance(error, app_commands.CommandInvokeError) else error
        if isinstance(cause, discord.HTTPException) and cause.code in {UNKNOWN_INTERACTION, ALREADY_ACKNOWLEDGED}:
            log.warning("too late to answer %s: %s", interaction.id, cause)
            return
        await tell(interaction, sentence_for(cause, interaction.locale, doing=f"interaction {interaction.id}"))


async def run(client: MusicLSTMClient, token: str) -> None:
    """Connect and stay connected until SIGINT or SIGTERM.

    Args:
        client: new.
        token: the bot's.

    Raises:
        SetupProblem: the token is refused.
        Unreachable: Discord is not there for now.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    stopping = asyncio.Event()

    def stop() -> None:
        if task is not None and not stopping.is_set():
            stopping.set()
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no signal handlers in its event loop
            loop.add_signal_handler(number, stop)
    greeting = asyncio.create_task(_greet(client))
    try:
        await client.start(token)
    except asyncio.CancelledError:
        if not stopping.is_set():
            raise
        log.info("stopping")
    except discord.LoginFailure as error:
        raise SetupProblem(
            "Discord refused the token: copy it anew from https://discord.com/developers/applications "
            "(Bot, Reset Token) into DISCORD_TOKEN."
        ) from error
    except (discord.HTTPException, discord.GatewayNotFound, aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"Discord cannot be reached: {error}. Check the network and try again.") from error
    finally:
        greeting.cancel()
        await client.close()


async def _greet(client: MusicLSTMClient) -> None:
    """Tell whoever started the bot that it is there, and how to get it into a server."""
    while client.application is None:  # noqa: ASYNC110 - discord.py has no event before the login is over
        await asyncio.sleep(0.1)
    await client.wait_until_ready()
    sys.stdout.write(
        f"{client.user} is connected to {len(client.guilds)} servers. Ctrl-C stops it.\n"
        f"To add it to another server: {invite_url(client.application.id)}\n"
    )
    sys.stdout.flush()


def say_nothing_about_voice() -> None:
    """The bot never speaks: that the libraries for voice are not installed is nothing for discord.py to warn about."""
    discord.VoiceClient.warn_nacl = discord.VoiceClient.warn_dave = False


def use_api_base(api_base: str | None) -> None:
    """Send every HTTP request to another address, such as `http://127.0.0.1:8080/api/v10`; None changes nothing.

    discord.py keeps the address in one class attribute for the whole process.
    """
    if api_base is not None:
        Route.BASE = api_base.rstrip("/")
