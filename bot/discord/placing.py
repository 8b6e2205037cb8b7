"""Where commands are offered, and which channels they take.

They are offered in servers, in direct messages, and to people who installed the bot for themselves.
"""

from __future__ import annotations

from typing import Any, TypeVar

import discord
from discord import app_commands

T = TypeVar("T")

EVERYWHERE_INSTALLS = app_commands.AppInstallationType(guild=True, user=True)
EVERYWHERE_CONTEXTS = app_commands.AppCommandContext(guild=True, dm_channel=True, private_channel=True)
SERVER_INSTALLS = app_commands.AppInstallationType(guild=True, user=False)
SERVER_CONTEXTS = app_commands.AppCommandContext(guild=True, dm_channel=False, private_channel=False)


def everywhere(command: T) -> T:
    """Offer a command in every place and installation."""
    placed = app_commands.allowed_installs(guilds=True, users=True)(command)
    return app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)(placed)


class ChannelOption(app_commands.Transformer):
    """A channel as Discord tells of it with the command: what the one who asks may do there is known.

    discord.py's own channels are those of servers that have the bot, and it refuses a command that names another one.

    Args:
        kinds: which channels can be chosen.
    """

    def __init__(self, *kinds: discord.ChannelType) -> None:
        self._kinds = list(kinds)

    @property
    def type(self) -> discord.AppCommandOptionType:
        """A channel."""
        return discord.AppCommandOptionType.channel

    @property
    def channel_types(self) -> list[discord.ChannelType]:
        """Which channels can be chosen."""
        return self._kinds

    async def transform(self, interaction: discord.Interaction[Any], value: Any, /) -> Any:  # noqa: ARG002 - of the protocol
        """The channel as it came."""
        return value


_TEXT = (discord.ChannelType.text, discord.ChannelType.news)
_THREADS = (discord.ChannelType.news_thread, discord.ChannelType.private_thread, discord.ChannelType.public_thread)

TextChannel = app_commands.Transform[app_commands.AppCommandChannel, ChannelOption(*_TEXT)]
AnyTextChannel = app_commands.Transform[
    app_commands.AppCommandChannel | app_commands.AppCommandThread, ChannelOption(*_TEXT, *_THREADS)
]
