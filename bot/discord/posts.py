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

CLOSED = (errors.UNKNOWN_CHANNEL, errors.MISSING_ACCESS, errors.MISSING_PERMISSIONS, errors.CANNOT_MESSAGE_USER)


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


class ChannelPost(Post):
    """A message that the bot posts by itself: after a restart, or as the answer to somebody's message.

    Args:
        client: connected.
        user_id: who is to have the piece, in a direct message where the channel does not take it.
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
        user_id: int,
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
        channel = await self._channel()
        message = await persist(lambda: channel.send(content, **self._as_one()))
        self._remember(message)

    def _as_one(self) -> dict[str, Any]:
        """What makes every attempt at sending one message, and an answer to whoever asked."""
        identity: dict[str, Any] = {}
        if self._nonce:
            identity["nonce"] = self._nonce
        if self._reply_to is not None:
            identity["reference"] = self._reply_to
        return identity

    def _remember(self, message: discord.Message) -> MessageRef:
        self.ref = MessageRef(str(message.channel.id), str(message.id))
        self._nonce = ""  # the next message of this post, if any, is another one
        return self.ref

    async def _channel(self) -> discord.abc.Messageable:
        if self._channel_id is None:
            return await self._client.create_dm(discord.Object(self._user_id))
        return self._client.get_partial_messageable(self._channel_id)

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
            return await self._send(await self._channel(), parcel)
        except discord.HTTPException as error:
            if error.code not in CLOSED:
                raise
            if self._channel_id is None:
                raise Undeliverable("You take no direct messages from me.") from error
            log.info("channel %s is closed (%s): a direct message to %s", self._channel_id, error, self._user_id)
        try:
            return await self._send(await self._client.create_dm(discord.Object(self._user_id)), parcel)
        except discord.HTTPException as error:
            raise Undeliverable("The channel was closed to me, and you take no direct messages from me.") from error

    async def _send(self, channel: discord.abc.Messageable, parcel: Parcel) -> MessageRef:
        view: Any = parcel.view
        content = None if self._channel_id is None else say(self.locale, "For {who}:", who=f"<@{self._user_id}>")
        return self._remember(
            await persist(
                lambda: channel.send(content, embed=parcel.embed, files=parcel.files(), view=view, **self._as_one())
            )
        )

    async def refuse(self, sentence: str) -> None:
        """See `Post.refuse`."""
        text = sentence[: limits.CONTENT_CHARACTERS_MAX]
        if self.ref is not None:
            message = self._message(self.ref)
            await persist(lambda: message.edit(content=text, embed=None, attachments=[], view=None))
        else:
            channel = await self._channel()
            await persist(lambda: channel.send(text, **self._as_one()))
