"""The one message of a piece: first it says how far the piece is, then it carries it.

An interaction's message is edited through the interaction for the 15 minutes that its token lives, afterwards through
the channel, like any message. Editing is what makes delivery safe to repeat: the same edit twice is one reply. Where a
new message is unavoidable it carries the piece's id as its nonce, which Discord enforces.

The ways to deliver, each tried when the one before is closed: edit the message; a new message where it was deleted; a
direct message where the channel is closed to us. What remains is `Undeliverable`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import discord

from bot.discord import errors, limits
from bot.discord.persist import persist
from bot.discord.texts import say
from bot.history import MessageRef
from data.errors import MusicLSTMError

log = logging.getLogger(__name__)

# A place that takes nothing from us: a channel that is gone, archived or forbidden, somebody who takes no messages.
CLOSED = (
    *(errors.UNKNOWN_CHANNEL, errors.MISSING_ACCESS, errors.MISSING_PERMISSIONS, errors.THREAD_ARCHIVED),
    *(errors.CANNOT_MESSAGE_USER, errors.NO_MUTUAL_SERVERS, errors.UNKNOWN_USER, errors.INVALID_RECIPIENT),
)


class Undeliverable(MusicLSTMError):
    """Every way to the person is closed; the sentence is for history, nobody can be told."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A finished piece as Discord takes it.

    Attributes:
        embed: shows it.
        files: makes the attachments, anew for every attempt because discord.py closes them.
        view: its buttons, or None.
    """

    embed: discord.Embed
    files: Callable[[], list[discord.File]]
    view: discord.ui.View | None = None


class Post(ABC):
    """One message of the bot.

    Attributes:
        locale: the reader's language.
        file_bytes_max: what one attachment may weigh here.
        ref: the message, as soon as it exists.
    """

    locale: discord.Locale | None = None
    file_bytes_max: int = limits.FILE_BYTES_DEFAULT
    ref: MessageRef | None = None

    @abstractmethod
    async def show(self, content: str, view: discord.ui.View | None) -> None:
        """Make the message say this, without files. Fails as discord.py does."""

    @abstractmethod
    async def deliver(self, parcel: Parcel) -> MessageRef:
        """Make the message carry the piece.

        Returns:
            the message that carries it, which is another one when the first was deleted.

        Raises:
            TooLarge: try again with smaller files.
            Undeliverable: there is no way to the person.
        """

    @abstractmethod
    async def refuse(self, sentence: str) -> None:
        """Tell the one who asked why there is no piece, as quietly as the place allows."""


async def send(
    channel: discord.abc.Messageable, reply_to: discord.MessageReference | None, message: Callable[[], dict[str, Any]]
) -> discord.Message:
    """Send a message, as the answer to another one where there is one and the channel allows that.

    Args:
        channel: where.
        reply_to: the message that is answered, or None.
        message: makes the arguments of `Messageable.send`, anew for every attempt because discord.py closes files.

    Raises:
        discord.HTTPException, TooLarge: as `persist`.
    """
    if reply_to is not None:
        try:
            return await persist(lambda: channel.send(reference=reply_to, mention_author=False, **message()))
        except discord.HTTPException as error:
            if error.code != errors.REPLY_NEEDS_HISTORY:  # without that permission an answer is a message like any
                raise
    return await persist(lambda: channel.send(**message()))


class ChannelPost(Post):
    """A message that the bot posts by itself: after a restart, or as the answer to somebody's message.

    Args:
        client: connected.
        user_id: who is to have the piece, in a direct message where the channel does not take it; None is nobody in
            particular: the piece is for the channel, or for nobody.
        channel_id: where; None for a direct message from the start.
        message_id: the message that is already there, or None: `deliver` posts one.
        locale: the reader's language.
        nonce: the same for every attempt at this piece, so that Discord keeps only one
            (https://discord.com/developers/docs/resources/message#create-message, `enforce_nonce`).
        reply_to: the message that asked, or None.
    """

    def __init__(
        self,
        client: discord.Client,
        *,
        user_id: int | None,
        channel_id: int | None,
        message_id: int | None = None,
        locale: discord.Locale | None = None,
        nonce: str = "",
        reply_to: discord.MessageReference | None = None,
    ) -> None:
        self._client = client
        self._user_id = user_id
        self._channel_id = channel_id
        self._nonce = nonce[: limits.NONCE_CHARACTERS_MAX]
        self._reply_to = reply_to
        self.locale = locale
        channel = client.get_channel(channel_id) if channel_id is not None else None
        guild = getattr(channel, "guild", None)
        self.file_bytes_max = guild.filesize_limit if guild is not None else limits.FILE_BYTES_DEFAULT
        if channel_id is not None and message_id is not None:
            self.ref = MessageRef(str(channel_id), str(message_id))

    async def acknowledge(self, content: str) -> None:
        """Post the message, saying this."""
        await self._post(await self._channel(), lambda: {"content": content})

    async def _post(self, channel: discord.abc.Messageable, message: Callable[[], dict[str, Any]]) -> MessageRef:
        """Send a message that every attempt makes once, and remember it."""
        once = {"nonce": self._nonce} if self._nonce else {}
        sent = await send(channel, self._reply_to, lambda: {**message(), **once})
        self.ref = MessageRef(str(sent.channel.id), str(sent.id))
        self._nonce = ""  # the next message of this post, if any, is another one
        return self.ref

    async def _direct(self) -> discord.abc.Messageable:
        if self._user_id is None:
            raise Undeliverable("The channel was closed to me.")
        return await self._client.create_dm(discord.Object(self._user_id))

    async def _channel(self) -> discord.abc.Messageable:
        return (
            await self._direct() if self._channel_id is None else self._client.get_partial_messageable(self._channel_id)
        )

    def _message(self, ref: MessageRef) -> discord.PartialMessage:
        return self._client.get_partial_messageable(int(ref.channel_id)).get_partial_message(int(ref.message_id))

    async def show(self, content: str, view: discord.ui.View | None) -> None:
        """See `Post.show`."""
        if self.ref is not None:
            await self._message(self.ref).edit(content=content, view=view)

    async def deliver(self, parcel: Parcel) -> MessageRef:
        """See `Post.deliver`."""
        try:
            if self.ref is not None:
                message = self._message(self.ref)
                try:
                    await persist(
                        lambda: message.edit(
                            content=None, embed=parcel.embed, attachments=parcel.files(), view=parcel.view
                        )
                    )
                except discord.NotFound as error:
                    if error.code != errors.UNKNOWN_MESSAGE:
                        raise
                else:
                    return self.ref
            return await self._deliver_anew(await self._channel(), parcel)
        except discord.HTTPException as error:
            if error.code not in CLOSED:
                raise
            if self._channel_id is None:
                raise Undeliverable("You take no direct messages from me.") from error
            log.info("channel %s is closed (%s): a direct message to %s", self._channel_id, error, self._user_id)
        try:
            return await self._deliver_anew(await self._direct(), parcel)
        except discord.HTTPException as error:
            raise Undeliverable("The channel was closed to me, and you take no direct messages from me.") from error

    async def _deliver_anew(self, channel: discord.abc.Messageable, parcel: Parcel) -> MessageRef:
        to_whom = None
        if self._channel_id is not None and self._user_id is not None:
            to_whom = say(self.locale, "For {who}:", who=f"<@{self._user_id}>")
        return await self._post(
            channel,
            lambda: {"content": to_whom, "embed": parcel.embed, "files": parcel.files(), "view": parcel.view},
        )

    async def refuse(self, sentence: str) -> None:
        """See `Post.refuse`: in the message, else in a direct message, which disturbs nobody else."""
        text = sentence[: limits.CONTENT_CHARACTERS_MAX]
        try:
            if self.ref is None:
                await self._post(await self._channel(), lambda: {"content": text})
            else:
                message = self._message(self.ref)
                await persist(lambda: message.edit(content=text, embed=None, attachments=[], view=None))
        except discord.HTTPException as error:
            if self._channel_id is None or error.code not in (errors.UNKNOWN_MESSAGE, *CLOSED):
                raise
            await self._post(await self._direct(), lambda: {"content": text})
