"""What every command, button and menu shares: who asks, may they, and the way from a wish to a reply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import discord

from bot.discord.permissions import check_can_attach
from bot.discord.posts import InteractionPost
from bot.grammar import build_request
from bot.history import Origin, Requester
from engine.types import ComposeRequest

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

    Interaction = discord.Interaction[MusicLSTMClient]
else:
    Interaction = discord.Interaction


def requester_of(interaction: Interaction) -> Requester:
    """Who asks, and where."""
    return Requester(
        front_end="discord",
        user_id=str(interaction.user.id),
        user_name=interaction.user.display_name,
        guild_id=None if interaction.guild_id is None else str(interaction.guild_id),
        channel_id=None if interaction.channel_id is None else str(interaction.channel_id),
    )


def is_moderator(interaction: Interaction) -> bool:
    """Whether the one who asks may act for others here: whoever may delete other people's messages."""
    return interaction.guild_id is not None and interaction.permissions.manage_messages


async def compose_request(
    interaction: Interaction, request: ComposeRequest, *, private: bool = False, origin: Origin | None = None
) -> None:
    """Acknowledge, make the piece, and post it as the reply. Raises only before it has acknowledged."""
    check_can_attach(interaction)
    post = InteractionPost(interaction, private=private)
    await post.acknowledge()
    await interaction.client.composer.compose(post, request, requester_of(interaction), private=private, origin=origin)


async def compose_values(
    interaction: Interaction, given: Mapping[str, Any], *, preset: str | None = None, private: bool = False
) -> None:
    """As `compose_request`, for options that were typed; preset and server defaults say what they leave out.

    Raises:
        InvalidRequest, NotFound: before anything is acknowledged, so that the answer is for the asker alone.
    """
    build_request(given)
    request = await interaction.client.studio.request_for(requester_of(interaction), given, preset=preset)
    await compose_request(interaction, request, private=private)
