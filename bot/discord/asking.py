"""What every command, button and menu shares: who asks, may they, and the way from a wish to a reply."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import discord
from discord import app_commands

from bot.continuing import Wish
from bot.discord import limits
from bot.discord.errors import TRANSIENT, sentence_for, tell
from bot.discord.interaction_posts import DirectPost, FollowUpPost, InteractionPost
from bot.discord.permissions import check_can_attach
from bot.discord.texts import say
from bot.grammar import build_request
from bot.history import Origin, Requester
from bot.models import Model
from engine.errors import InvalidRequest
from engine.types import SEED_MAX, ComposeRequest, new_id, new_seed

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

    Interaction = discord.Interaction[MusicLSTMClient]
else:
    Interaction = discord.Interaction


VARIATIONS_MAX = 4  # as many as one person may have in the making by default


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


def model_choices(models: Sequence[Model], typed: str) -> list[app_commands.Choice[str]]:
    """The ids that contain what is typed; one that is too long to be a choice has to be typed whole."""
    ids = [each.id for each in models if len(each.id) <= limits.CHOICE_NAME_CHARACTERS_MAX]
    found = [each for each in ids if typed.strip().casefold() in each.casefold()]
    return [app_commands.Choice(name=each, value=each) for each in found[: limits.OPTION_CHOICES_MAX]]


async def compose_request(
    interaction: Interaction,
    request: ComposeRequest,
    *,
    private: bool = False,
    dm: bool = False,
    origin: Origin | None = None,
) -> None:
    """Acknowledge, make the piece, and post it as the reply, or (`dm`) as a direct message.

    Raises only before it has acknowledged.
    """
    private = private or dm
    reply = InteractionPost(interaction, private=private)
    if not dm:
        check_can_attach(interaction)
    await reply.acknowledge()
    post = DirectPost(interaction, reply, nonce=request.id) if dm else reply
    await interaction.client.composer.compose(post, request, requester_of(interaction), private=private, origin=origin)


async def compose_wish(
    interaction: Interaction, find_out: Callable[[], Awaitable[Wish]], *, doing: str, private: bool = False
) -> None:
    """As `compose_request`, for a wish that takes reading to find out: acknowledged before that.

    Args:
        interaction: not yet answered.
        find_out: what to make; whatever it raises is told to the asker alone.
        doing: the command or button, for the log.
        private: for the asker's eyes only.
    """
    check_can_attach(interaction)
    post = InteractionPost(interaction, private=private)
    await post.acknowledge()
    composer = interaction.client.composer
    try:
        wish = await find_out()
    except Exception as error:  # whatever it is, the person is told; the log has the rest
        await composer.refuse(post, doing, sentence_for(error, interaction.locale, doing=doing))
        return
    await composer.compose(post, wish.request, requester_of(interaction), private=private, origin=wish.origin)


async def compose_values(
    interaction: Interaction,
    given: Mapping[str, Any],
    *,
    preset: str | None = None,
    private: bool = False,
    dm: bool = False,
    variations: int = 1,
) -> None:
    """As `compose_request`, for options that were typed; preset and server defaults say what they leave out.

    Args:
        interaction: not yet answered.
        given: option name -> value.
        preset: the name of one of the asker's presets, or None.
        private: for the asker's eyes only.
        dm: sent to the asker's direct messages, for their eyes only too.
        variations: how many pieces, 1 to VARIATIONS_MAX, each with its own seed and its own message.

    Raises:
        InvalidRequest, NotFound: before anything is acknowledged, so that the answer is for the asker alone.
    """
    if not 1 <= variations <= VARIATIONS_MAX:
        sentence = "{name} is a whole number from {low} to {high}."
        raise InvalidRequest("variations", sentence, name="variations", low=1, high=VARIATIONS_MAX)
    build_request(given)
    request = await interaction.client.studio.request_for(requester_of(interaction), given, preset=preset)
    if variations == 1:
        await compose_request(interaction, request, private=private, dm=dm)
        return
    private = private or dm
    if not dm:
        check_can_attach(interaction)
    first = InteractionPost(interaction, private=private)
    await first.acknowledge()
    waiting = "⏳ " + say(interaction.locale, "Thinking…")
    await first.show(waiting, None)  # no longer "thinking", so that a follow-up is a message of its own
    seeds = [(request.seed + n) % (SEED_MAX + 1) if "seed" in given else new_seed() for n in range(1, variations)]
    requests = [request, *(replace(request, seed=seed, id=new_id()) for seed in seeds)]
    posts = [first]
    for _ in seeds:
        post = FollowUpPost(interaction, private=private)
        try:
            await post.announce(waiting)
        except (discord.HTTPException, *TRANSIENT) as error:  # those that have a message are made all the same
            await tell(interaction, sentence_for(error, interaction.locale, doing="announcing a variation"))
            break
        posts.append(post)
    compose, requester = interaction.client.composer.compose, requester_of(interaction)
    pairs = [
        (DirectPost(interaction, post, nonce=each.id) if dm else post, each)
        for post, each in zip(posts, requests, strict=False)
    ]
    await asyncio.gather(*(compose(post, each, requester, private=private) for post, each in pairs))
