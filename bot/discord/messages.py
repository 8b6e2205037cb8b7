"""Asking without a slash: `@MusicLSTM compose mood:dark` in a channel, plain `compose …` in a direct message.

`continue ID` and `vary ID` are understood too, and `continue` with a MIDI file.

A bot is sent the text of messages that mention it or are written to it with no privileged intent
(https://discord.com/developers/docs/events/gateway#message-content-intent). Other messages are not looked at.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import discord

from bot.continuing import Wish, continuation, continuation_of_file, variation
from bot.discord import attachments, embeds
from bot.discord.errors import TRANSIENT, sentence_for
from bot.discord.posts import ChannelPost, send
from bot.discord.texts import say
from bot.errors import NotAllowed
from bot.grammar import parse_request, parse_values
from bot.history import Requester
from bot.studio import Studio
from engine.errors import InvalidRequest

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

log = logging.getLogger(__name__)


async def answer(client: MusicLSTMClient, message: discord.Message) -> None:
    """Do what a message asks for, if it asks the bot for something."""
    text = _said_to(client, message)
    if text is None:
        return
    word, *rest = text.split(maxsplit=1) or [""]
    try:
        find_out = _WISHES.get(word.casefold().lstrip("/"))
        if find_out is None:
            await _reply(message, embed=embeds.help_embed(_locale(message)))
        else:
            _check_can_answer(message)
            await _compose(client, message, await find_out(client.studio, message, "".join(rest).strip()))
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


def _requester(message: discord.Message) -> Requester:
    return Requester(
        front_end="discord",
        user_id=str(message.author.id),
        user_name=message.author.display_name,
        guild_id=None if message.guild is None else str(message.guild.id),
        channel_id=str(message.channel.id),
    )


async def _new(studio: Studio, message: discord.Message, text: str) -> Wish:
    parse_request(text)
    return Wish(await studio.request_for(_requester(message), parse_values(text)))


async def _continued(studio: Studio, message: discord.Message, text: str) -> Wish:
    midi = attachments.midi_file(message)
    if midi is not None:
        given = parse_values(text)
        content = await attachments.read_midi_file(midi, _locale(message))
        return await continuation_of_file(studio, content, _requester(message), given)
    piece_id, rest = [*text.split(maxsplit=1), "", ""][:2]
    return await continuation(studio, _id(message, piece_id), _requester(message), parse_values(rest))


async def _varied(studio: Studio, message: discord.Message, text: str) -> Wish:
    return await variation(studio, _id(message, text), _requester(message))


def _id(message: discord.Message, text: str) -> str:
    if not text:
        raise InvalidRequest(
            "id", say(_locale(message), "Write the id of a piece after it: the eight characters below one.")
        )
    return text


_WISHES: dict[str, Callable[[Studio, discord.Message, str], Awaitable[Wish]]] = {
    "compose": _new,
    "continue": _continued,
    "vary": _varied,
}


async def _compose(client: MusicLSTMClient, message: discord.Message, wish: Wish) -> None:
    if wish.private and message.guild is not None:
        raise NotAllowed(say(_locale(message), "That piece is private: ask with its buttons or with /continue."))
    post = ChannelPost(
        client,
        user_id=message.author.id,
        channel_id=message.channel.id,
        locale=_locale(message),
        nonce=str(message.id),
        reply_to=message.to_reference(fail_if_not_exists=False),
    )
    await post.acknowledge("⏳ " + say(_locale(message), "Thinking…"))
    await client.composer.compose(post, wish.request, _requester(message), private=wish.private, origin=wish.origin)


def _check_can_answer(message: discord.Message) -> None:
    """Raises NotAllowed where a finished piece could not be posted."""
    if message.guild is None or message.guild.me is None:
        return
    allowed = message.channel.permissions_for(message.guild.me)
    if not (allowed.attach_files and allowed.embed_links):
        names = "Attach Files + Embed Links"
        raise NotAllowed(say(_locale(message), "I need the permission {names} in this channel.", names=names))


async def _reply(message: discord.Message, text: str | None = None, *, embed: discord.Embed | None = None) -> None:
    said = {"content": text} if embed is None else {"embed": embed}
    await send(message.channel, message.to_reference(fail_if_not_exists=False), lambda: said)
