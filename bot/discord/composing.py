"""One request of Discord, from its acknowledgement to the reply that Discord accepted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any

import discord
from discord.ext import tasks

from bot import wording
from bot.discord import attachments, embeds, errors
from bot.discord.persist import TooLarge
from bot.discord.posts import Parcel, Post, Undeliverable
from bot.discord.texts import say
from bot.errors import Cancelled, NotFound
from bot.history import MessageRef, Origin, Record, Requester
from bot.pieces import Piece
from bot.studio import Studio
from bot.workshop import Update, UpdateCallback
from data.errors import MusicLSTMError
from engine.errors import EngineClosed
from engine.types import ComposeRequest

log = logging.getLogger(__name__)

EDIT_INTERVAL_S = 3.0  # Discord allows about five edits in five seconds in a channel; many pieces share one channel
LAST_EDIT_WITHIN_S = 10.0  # how long an edit of progress may hold up the finished piece

Buttons = Callable[[Record, discord.Locale | None], discord.ui.View | None]


class Notice:
    """Says how far a piece is by editing its message: every EDIT_INTERVAL_S at most, and only when the words change.

    Use as `async with Notice(...) as update:` around the work; `update` is the callback for it. What is ready within
    the first interval shows no progress, which would only flicker.

    Args:
        post: acknowledged.
        cancel_button: makes the button below the words.
        remember: is told the piece's id and message once the request is in history, or None.
    """

    def __init__(
        self,
        post: Post,
        cancel_button: Buttons,
        remember: Callable[[str, MessageRef], Awaitable[None]] | None = None,
    ) -> None:
        self._post = post
        self._cancel_button = cancel_button
        self._remember = remember
        self._remembering: asyncio.Task[None] | None = None
        self._latest: Update | None = None
        self._shown = ""
        self._editing = asyncio.Lock()
        self._ticks = tasks.loop(seconds=EDIT_INTERVAL_S, reconnect=False)(self._tick)

    async def __aenter__(self) -> UpdateCallback:
        self._ticks.start()
        return self._update

    async def __aexit__(self, *_: object) -> None:
        """Stop. An edit that is under way may finish first, or it could overtake the piece and overwrite it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_EDIT_WITHIN_S), self._editing:
                self._ticks.cancel()
        self._ticks.cancel()
        if self._remembering is not None:
            await self._remembering

    def _update(self, update: Update) -> None:
        if self._latest is None and self._remember is not None and self._post.ref is not None:
            self._remembering = asyncio.create_task(self._tell_history(update.record.id, self._post.ref))
        self._latest = update

    async def _tell_history(self, piece_id: str, message: MessageRef) -> None:
        assert self._remember is not None  # noqa: S101 -- asked by `_update`
        try:
            await self._remember(piece_id, message)
        except MusicLSTMError:
            log.exception("the message of %s is not remembered", piece_id)  # only a restart would miss it

    async def _tick(self) -> None:
        if self._latest is None:
            return
        text = embeds.progress_text(self._latest, self._post.locale)
        if text == self._shown:
            return
        self._shown = text
        async with self._editing:
            try:
                await self._post.show(text, self._cancel_button(self._latest.record, self._post.locale))
            except (discord.HTTPException, *errors.TRANSIENT) as error:
                log.info("progress of %s not shown: %s", self._latest.record.id, error)  # the piece itself matters


class Composer:
    """Makes pieces and posts them.

    Args:
        studio: makes and remembers.
        piece_buttons: the buttons below a finished piece.
        cancel_button: the button below a notice.
        file_bytes_max: post no larger file than this even where Discord would take it; None: whatever Discord takes.
    """

    def __init__(
        self, studio: Studio, *, piece_buttons: Buttons, cancel_button: Buttons, file_bytes_max: int | None = None
    ) -> None:
        self._studio = studio
        self._piece_buttons = piece_buttons
        self._cancel_button = cancel_button
        self._file_bytes_max = file_bytes_max
        self._under_way: set[asyncio.Task[Any]] = set()

    async def goodbyes(self, timeout_s: float) -> None:
        """After the studio is closed: wait until everybody who was waiting has been told."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)

    def track(self) -> None:
        """Let `goodbyes` wait for the task that calls this."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 -- a coroutine runs in a task
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def compose(
        self,
        post: Post,
        request: ComposeRequest,
        requester: Requester,
        *,
        private: bool = False,
        origin: Origin | None = None,
    ) -> None:
        """Make a piece and post it, or tell the one who asked why there is none. Never raises on purpose.

        Args:
            post: acknowledged.
            request: what to make.
            requester: who asks, and where.
            private: for the requester's eyes only.
            origin: the piece that this one comes out of.
        """
        await self._finish(
            post,
            request.id,
            lambda update: self._studio.compose(request, requester, update, private=private, origin=origin),
        )

    async def resume(self, post: Post, record: Record) -> None:
        """Go on with a request that a process before this one left unfinished."""
        await self._finish(post, record.id, lambda update: self._studio.resume(record, update))

    async def _finish(self, post: Post, piece_id: str, work: Callable[[UpdateCallback], Awaitable[Piece]]) -> None:
        self.track()
        try:
            async with Notice(post, self._cancel_button, self._studio.set_message) as update:
                piece = await work(update)
        except EngineClosed:
            await self.say_goodbye(post, piece_id)
            return
        except Cancelled:
            await self.refuse(post, piece_id, say(post.locale, "Cancelled."))
            return
        except Exception as error:  # whatever it is, the person is told; the log has the rest
            await self.refuse(post, piece_id, errors.sentence_for(error, post.locale, doing=f"composing {piece_id}"))
            return
        try:
            message = await self.post_piece(post, piece)
        except Exception as error:  # as above; the piece exists, so it can be shown again later
            sentence = errors.sentence_for(error, post.locale, doing=f"delivering {piece_id}")
            with contextlib.suppress(NotFound):  # deleted meanwhile
                await self._studio.mark_failed(piece_id, sentence)
            if not isinstance(error, Undeliverable):
                await self.refuse(post, piece_id, sentence)
            return
        try:
            await self._studio.mark_delivered(piece_id, message)
        except NotFound as error:  # deleted while it was on its way: nothing of it may stay
            await self.refuse(post, piece_id, errors.sentence_for(error, post.locale, doing=f"delivering {piece_id}"))

    async def show(self, post: Post, piece_id: str, viewer: Requester) -> None:
        """Make a finished piece again, prove it by its digests, and post it, or tell why not."""
        try:
            async with Notice(post, lambda *_: None) as update:
                remade = await self._studio.remake(piece_id, viewer, update)
            message = await self.post_piece(post, remade.piece, note=embeds.proof_text(remade, post.locale))
        except Exception as error:  # whatever it is, the person is told; the log has the rest
            await self.refuse(post, piece_id, errors.sentence_for(error, post.locale, doing=f"showing {piece_id}"))
            return
        await self._studio.library.add_copy(remade.piece.record, message)

    async def post_piece(self, post: Post, piece: Piece, *, note: str = "") -> MessageRef:
        """Post a finished piece in the best format that the place takes.

        Args:
            post: acknowledged, or a message that is to carry the piece from now on.
            piece: with its files.
            note: one more sentence below the title.

        Raises:
            Undeliverable: there is no way to the person.
            discord.HTTPException: Discord refused it for good.
        """
        file_bytes_max = min(post.file_bytes_max, self._file_bytes_max or math.inf)
        bytes_max = attachments.sound_bytes_max(piece, file_bytes_max)
        while True:
            sound = await asyncio.to_thread(attachments.choose_sound, piece, bytes_max)
            notes = [text for text in (note, attachments.sound_note(sound, post.locale)) if text]
            embed = embeds.piece_embed(
                piece.record,
                locale=post.locale,
                note="\n".join(notes),
                picture=f"{wording.stem(piece.record.request)}.png",
            )
            parcel = Parcel(
                embed,
                lambda sound=sound: attachments.files(piece, sound, post.locale, file_bytes_max),  # type: ignore[misc]
                self._piece_buttons(piece.record, post.locale),
            )
            try:
                return await post.deliver(parcel)
            except TooLarge:
                if sound is None:
                    raise
                log.warning("Discord takes less than the %d bytes it announced for %s", bytes_max, piece.record.id)
                bytes_max = min(bytes_max, sound.size_bytes) // 2

    async def refuse(self, post: Post, piece_id: str, sentence: str) -> None:
        """Tell the one who asked why there is no piece; when Discord does not take even that, the log says so."""
        try:
            await post.refuse(sentence)
        except (discord.HTTPException, MusicLSTMError, *errors.TRANSIENT) as error:
            log.warning("could not say about %s: %r: %s", piece_id, sentence, error)

    async def say_goodbye(self, post: Post, piece_id: str) -> None:
        """The bot is going down: the request stays in history and is taken up again at the next start."""
        with contextlib.suppress(discord.HTTPException, *errors.TRANSIENT):
            await post.show("⏳ " + say(post.locale, "I am restarting; this piece goes on in a moment."), None)
        log.info("%s goes on at the next start", piece_id)
