"""Where commands are offered: in servers, in direct messages, and to people who installed the bot for themselves."""

from __future__ import annotations

from typing import TypeVar

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
