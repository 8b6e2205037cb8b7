"""The messages that answer an interaction: its reply, what follows the reply, and what comes as a direct message."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import discord

from bot.discord import errors, limits
from bot.discord.persist import persist
from bot.discord.posts import CLOSED, ChannelPost, Parcel, Post, Undeliverable
from bot.discord.texts import say
from bot.history import MessageRef

_TOKEN_MARGIN = timedelta(seconds=20)  # an upload that begins later may end after the token has died
_GONE = (errors.UNKNOWN_WEBHOOK, errors.UNKNOWN_INTERACTION, errors.INVALID_WEBHOOK_TOKEN)


def _has_ended(error: discord.HTTPException) -> bool:
    """Whether nothing can be said through the interaction any more, whatever the clock says."""
    return error.status == 401 or error.code in (*_GONE, *CLOSED)


class InteractionPost(Post):
    """The reply to a slash command, a button or a modal. Call `acknowledge` before anything slow."""

    def __init__(self, interaction: discord.Interaction[Any], *, private: bool = False) -> None:
        self._interaction = interaction
        self._private = private
        # By our clock, from its arrival: the time inside its id is by Discord's.
        self._expires_at = discord.utils.utcnow() + timedelta(seconds=limits.INTERACTION_TOKEN_LIFE_S)
        self.locale = interaction.locale
        self.file_bytes_max = interaction.filesize_limit

    async def acknowledge(self) -> None:
        """Answer within Discord's three seconds: the client shows that the bot is thinking."""
        response = await self._interaction.response.defer(thinking=True, ephemeral=self._private)
        channel_id = self._interaction.channel_id
        if response is not None and response.message_id is not None and channel_id is not None and not self._private:
            self.ref = MessageRef(str(channel_id), str(response.message_id))

    async def _edit(self, **changes: Any) -> discord.Message:
        return await self._interaction.edit_original_response(**changes)

    async def _remove(self) -> None:
        await self._interaction.delete_original_response()

    @property
    def _token_lives(self) -> bool:
        return discord.utils.utcnow() < self._expires_at - _TOKEN_MARGIN

    async def show(self, content: str, view: discord.ui.View | None) -> None:
        """See `Post.show`."""
        if self._token_lives:
            await self._edit(content=content, view=view)
        elif self.ref is not None:
            await self._through_channel().show(content, view)

    async def deliver(self, parcel: Parcel) -> MessageRef:
        """See `Post.deliver`."""
        if not self._token_lives:
            return await self._through_channel().deliver(parcel)
        try:
            message: discord.Message = await persist(
                lambda: self._edit(content=None, embed=parcel.embed, attachments=parcel.files(), view=parcel.view)
            )
        except discord.HTTPException as error:
            if error.code == errors.UNKNOWN_MESSAGE:
                return await self._deliver_anew(parcel)
            if _has_ended(error):
                return await self._through_channel().deliver(parcel)
            raise
        return MessageRef(str(message.channel.id), str(message.id))

    async def _deliver_anew(self, parcel: Parcel) -> MessageRef:
        """The reply was deleted while the piece was being made: a new one, for whoever still wants it."""
        view: Any = parcel.view or discord.utils.MISSING
        self.ref = None
        try:
            message = await persist(
                lambda: self._interaction.followup.send(
                    embed=parcel.embed, files=parcel.files(), view=view, ephemeral=self._private, wait=True
                )
            )
        except discord.NotFound:
            # A follow-up to a reply that still says "thinking" is an edit of it, and there is nothing left to edit.
            return await self._through_channel().deliver(parcel)
        return MessageRef(str(message.channel.id), str(message.id))

    async def refuse(self, sentence: str) -> None:
        """See `Post.refuse`."""
        text = sentence[: limits.CONTENT_CHARACTERS_MAX]
        if not self._token_lives:
            await self._through_channel().refuse(text)
            return
        try:
            await self._refuse_alone(text)
        except discord.HTTPException as error:
            if not (_has_ended(error) or error.code == errors.UNKNOWN_MESSAGE):
                raise
            await self._through_channel().refuse(text)

    async def _refuse_alone(self, text: str) -> None:
        # While the reply is still "thinking", Discord takes the first follow-up for an edit of it, as public as it is
        # (https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages). So: say it
        # there, say it to the person alone, and then take the public one away.
        gone = False
        try:
            await persist(lambda: self._edit(content=text, embeds=[], attachments=[], view=None))
        except discord.HTTPException as error:
            if error.code != errors.UNKNOWN_MESSAGE:
                raise
            gone = True
        if gone or not self._private:
            await persist(lambda: self._interaction.followup.send(text, ephemeral=True))
        if not (gone or self._private):
            with suppress(discord.NotFound):
                await self._remove()

    def _through_channel(self) -> ChannelPost:
        interaction = self._interaction
        return ChannelPost(
            interaction.client,
            user_id=interaction.user.id,
            channel_id=None if self._private else interaction.channel_id,
            message_id=None if self.ref is None else int(self.ref.message_id),
            locale=self.locale,
            nonce=str(interaction.id),
        )


class FollowUpPost(InteractionPost):
    """One more message after the reply. The reply must not be "thinking" any more, or this would overwrite it."""

    def __init__(self, interaction: discord.Interaction[Any], *, private: bool = False) -> None:
        super().__init__(interaction, private=private)
        self._message_id = 0

    async def announce(self, content: str) -> None:
        """Post the message, saying this."""
        message = await persist(lambda: self._interaction.followup.send(content, ephemeral=self._private, wait=True))
        self._message_id = message.id
        if not self._private:
            self.ref = MessageRef(str(message.channel.id), str(message.id))

    async def _edit(self, **changes: Any) -> discord.Message:
        return await self._interaction.followup.edit_message(self._message_id, **changes)

    async def _remove(self) -> None:
        await self._interaction.followup.delete_message(self._message_id)


class DirectPost(Post):
    """Says in a reply how far the piece is, and delivers it as a direct message.

    Where somebody takes no direct messages, the reply carries it and says why.

    Args:
        interaction: what the reply answers.
        reply: private, acknowledged before anything is shown.
        nonce: the same for every attempt at this message, over a restart too; "" is one of its own.
    """

    def __init__(self, interaction: discord.Interaction[Any], reply: InteractionPost, *, nonce: str = "") -> None:
        self.locale = interaction.locale
        self.file_bytes_max = limits.FILE_BYTES_DEFAULT
        self._reply = reply
        self._direct = ChannelPost(
            interaction.client,
            user_id=interaction.user.id,
            channel_id=None,
            locale=interaction.locale,
            nonce=nonce or f"{interaction.id % 10**12}-{secrets.token_hex(4)}",
        )

    async def show(self, content: str, view: discord.ui.View | None) -> None:
        """See `Post.show`."""
        await self._reply.show(content, view)

    async def deliver(self, parcel: Parcel) -> MessageRef:
        """See `Post.deliver`."""
        try:
            message = await self._direct.deliver(parcel)
        except Undeliverable:
            embed = parcel.embed.copy()
            closed = say(self.locale, "You take no direct messages from me, so here it is, for you alone.")
            embed.description = f"{embed.description or ''}\n{closed}".strip()
            return await self._reply.deliver(replace(parcel, embed=embed))
        link = f"https://discord.com/channels/@me/{message.channel_id}/{message.message_id}"
        with suppress(discord.HTTPException, *errors.TRANSIENT):  # the piece is there, whatever is said here
            await self._reply.show(say(self.locale, "It is in your direct messages: {link}", link=link), None)
        return message

    async def refuse(self, sentence: str) -> None:
        """See `Post.refuse`: also in the place of a piece that was deleted on its way."""
        if self._direct.ref is not None:
            await self._direct.refuse(sentence)
        await self._reply.refuse(sentence)
