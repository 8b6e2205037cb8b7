"""Asking without a slash: `@MusicLSTM compose mood:dark` in a channel, plain `compose …` in a direct message.

A bot is sent the text of messages that mention it or are written to it with no privileged intent
(https://discord.com/developers/docs/events/gateway#message-content-intent). Other messages are not looked at.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import discord

from bot.discord import embeds
from bot.discord.errors import TRANSIENT, sentence_for
from bot.discord.persist import persist
from bot.discord.posts import ChannelPost
from bot.discord.texts import say
from bot.errors import NotAllowed
from bot.grammar import parse_request, parse_values
from bot.history import Requester

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

log = logging.getLogger(__name__)


async def answer(client: MusicLSTMClient, message: discord.Message) -> None:
    """Do what a message asks for, if it asks the bot for something."""
    text = _said_to(client, message)
    if text is None:
        return
    word, _, rest = text.partition(" ")
    try:
        if word.casefold().lstrip("/") == "compose":
            await _compose(client, message, rest)
        else:
            await _reply(message, embed=embeds.help_embed(_locale(message)))
    except Exception as error:  # a person never waits without an answer
        sentence = sentence_for(error, _locale(message), doing=f"message of {message.author.id}")
        try:
            await _reply(message, sentence)
        except (discord.HTTPException, *TRANSIENT) as closed:
            log.warning("could not tell %s: %r: %s", message.author.id, sentence, closed)


def _said_to(client: MusicLSTMClient, message: discord.Message) -> str | None:
    """What a message says to the bot, without the mention at its start; None when it is not written to the bot."""
    if message.author.bot or client.user is None or message.type not in _WRITTEN:
        return None
    mention = re.match(rf"\s*<@!?{client.user.id}>\s*", message.content)
    if mention is not None:
        return message.content[mention.end() :].strip()
    return message.content.strip() if message.guild is None and message.content.strip() else None


_WRITTEN = (discord.MessageType.default, discord.MessageType.reply)


def _locale(message: discord.Message) -> discord.Locale | None:
    return message.guild.preferred_locale if message.guild is not None else None


async def _compose(client: MusicLSTMClient, message: discord.Message, text: str) -> None:
    parse_request(text)
    _check_can_answer(message)
    requester = Requester(
        front_end="discord",
        user_id=str(message.author.id),
        user_name=message.author.display_name,
        guild_id=None if message.guild is None else str(message.guild.id),
        channel_id=str(message.channel.id),
    )
    request = await client.studio.request_for(requester, parse_values(text))
    post = ChannelPost(
        client,
        user_id=message.author.id,
        channel_id=message.channel.id,
        locale=_locale(message),
        nonce=str(message.id),
        reply_to=message.to_reference(fail_if_not_exists=False),
    )
    await post.acknowledge("⏳ " + say(_locale(message), "Thinking…"))
    await client.composer.compose(post, request, requester)


def _check_can_answer(message: discord.Message) -> None:
    """Raises NotAllowed where a finished piece could not be posted."""
    if message.guild is None or message.guild.me is None:
        return
    allowed = message.channel.permissions_for(message.guild.me)
    if not (allowed.attach_files and allowed.embed_links):
        names = "Attach Files + Embed Links"
        raise NotAllowed(say(_locale(message), "I need the permission {names} in this channel.", names=names))


async def _reply(message: discord.Message, text: str | None = None, *, embed: discord.Embed | None = None) -> None:
    reference = message.to_reference(fail_if_not_exists=False)
    if embed is not None:
        shown = embed
        await persist(lambda: message.channel.send(text, embed=shown, reference=reference, mention_author=False))
    else:
        await persist(lambda: message.channel.send(text, reference=reference, mention_author=False))
