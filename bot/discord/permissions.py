"""What the bot needs to be allowed, checked before the work and not after it."""

from __future__ import annotations

from typing import Any

import discord

from bot.discord.texts import say
from bot.errors import NotAllowed

INVITE_PERMISSIONS = discord.Permissions(
    view_channel=True,
    send_messages=True,
    send_messages_in_threads=True,
    embed_links=True,
    attach_files=True,
    read_message_history=True,  # to answer as a reply
)


def check_can_attach(interaction: discord.Interaction[Any]) -> None:
    """Raises NotAllowed where a finished piece could not be posted.

    Discord tells with each interaction what the application may do in that place. None at all is what a place without
    permissions says (a direct message).
    """
    allowed = interaction.app_permissions
    if interaction.guild_id is None or not allowed.value or allowed.administrator:
        return
    missing = [
        name
        for name, is_allowed in (("Attach Files", allowed.attach_files), ("Embed Links", allowed.embed_links))
        if not is_allowed
    ]
    if missing:
        raise NotAllowed(
            say(interaction.locale, "I need the permission {names} in this channel.", names=" + ".join(missing))
        )
