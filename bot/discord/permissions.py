"""What the bot needs to be allowed, checked before the work and not after it."""

from __future__ import annotations

from typing import Any

import discord
from discord import app_commands

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


def invite_url(application_id: int) -> str:
    """Where an administrator adds the bot to a server, or anybody to their own account."""
    return discord.utils.oauth_url(
        application_id, permissions=INVITE_PERMISSIONS, scopes=("bot", "applications.commands")
    )


def owners(client: discord.Client) -> set[int]:
    """The ids of the people to whom the application belongs: its owner, or the members of its team."""
    application = client.application
    if application is None:
        return set()
    if application.team is not None:
        return {member.id for member in application.team.members}
    return {application.owner.id}


def readable_channels(interaction: discord.Interaction[Any], *, by_everybody: bool = False) -> list[str]:
    """The ids of the server's channels and threads that the one who asks may read; this one is among them.

    Args:
        interaction: in a server.
        by_everybody: of the others, only those that every member may read.
    """
    here = {str(interaction.channel_id)}
    guild, member = interaction.guild, interaction.user
    if guild is None or not isinstance(member, discord.Member):
        return list(here)
    reader = guild.default_role if by_everybody else member
    readable = {
        str(channel.id)
        for channel in (*guild.channels, *guild.threads)
        # Who was added to a private thread is not known here.
        if not (isinstance(channel, discord.Thread) and channel.is_private())
        and channel.permissions_for(reader).view_channel
    }
    return list(here | readable)


def is_as_open(guild: discord.Guild, channel_id: str, other_id: str) -> bool:
    """Whether whoever may read the other channel may read this one too, as far as roles and names decide."""
    channel, other = (guild.get_channel_or_thread(int(each)) for each in (channel_id, other_id))
    if channel is None or other is None or (isinstance(channel, discord.Thread) and channel.is_private()):
        return False
    if channel.permissions_for(guild.default_role).view_channel:
        return True
    named = [
        who
        for who, said in getattr(other, "overwrites", {}).items()
        if not isinstance(who, discord.Role) and who.id != guild.me.id and said.view_channel
    ]
    if not all(isinstance(who, discord.Member) and channel.permissions_for(who).view_channel for who in named):
        return False  # somebody of whom only an id is known may see what they should not
    return all(
        channel.permissions_for(role).view_channel for role in guild.roles if other.permissions_for(role).view_channel
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


def check_can_send(
    interaction: discord.Interaction[Any],
    channel: app_commands.AppCommandChannel | app_commands.AppCommandThread,
) -> None:
    """Raises NotAllowed where the bot could not post files."""
    here = None if interaction.guild is None else interaction.guild.get_channel_or_thread(channel.id)
    if here is not None and interaction.guild is not None and interaction.guild.me is not None:
        ours = here.permissions_for(interaction.guild.me)
        if _may_post(ours, here.type) and ours.embed_links:
            return
    raise NotAllowed(say(interaction.locale, "I may not post files in {where}.", where=channel.mention))


def check_can_post(
    interaction: discord.Interaction[Any], channel: app_commands.AppCommandChannel | app_commands.AppCommandThread
) -> None:
    """Raises NotAllowed where the one who asks, or the bot, could not post files.

    Discord tells with the chosen channel what the one who asks may do there; what the bot may is known from the server.
    """
    theirs = channel.permissions
    if not theirs.administrator and not _may_post(theirs, channel.type):
        raise NotAllowed(say(interaction.locale, "You may not post files in {where}.", where=channel.mention))
    check_can_send(interaction, channel)


def _may_post(allowed: discord.Permissions, kind: discord.ChannelType) -> bool:
    """Whether files may be posted; threads have a permission of their own for that."""
    in_thread = kind in {
        discord.ChannelType.public_thread,
        discord.ChannelType.private_thread,
        discord.ChannelType.news_thread,
    }
    may_send = allowed.send_messages_in_threads if in_thread else allowed.send_messages
    return allowed.view_channel and may_send and allowed.attach_files
