"""The use cases of the bot, for every front end: compose, look back, make again, cancel.

A front end turns what a person typed into a `ComposeRequest`, calls `Studio.compose`, shows the `Piece`, and says
`mark_delivered` once the person has it. Nothing here knows Discord.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.blind import BlindTests
from bot.errors import NotAllowed, NotFound
from bot.grammar import build_request
from bot.history import FrontEnd, History, MessageRef, Origin, Record, Requester, State
from bot.library import Library
from bot.metrics import Metrics
from bot.models import Models
from bot.options import did_you_mean, echo, nearest
from bot.pieces import Piece, PieceFolder, Remade
from bot.presets import Presets
from bot.privacy import Privacy
from bot.quota import Limits, Quota
from bot.ratings import Ratings
from bot.recipes import Recognised, recognise
from bot.servers import Servers
from bot.surely import surely
from bot.training import Training
from bot.turns import Pace, Turns
from bot.upkeep import Tidied, tidy
from bot.workshop import Update, UpdateCallback, Workshop
from data.moods import Mood
from engine.errors import Busy, InvalidRequest
from engine.types import ComposeRequest, Engine


class Studio:
    """The one way from a request to files and into history. One per process; every front end shares it.

    Args:
        engine: makes the pieces; closed by `aclose`.
        history: open; stays the caller's to close.
        pieces_dir: where the files of pieces are kept; made when missing.
        limits: of the queue, of persons and of servers.
        models: the checkpoints to choose from, where there is a choice.
        training: makes new checkpoints, where that is possible.
    """

    def __init__(
        self,
        engine: Engine,
        history: History,
        *,
        pieces_dir: Path,
        limits: Limits,
        models: Models | None = None,
        training: Training | None = None,
    ) -> None:
        self.history = history
        self.models = models
        self.training = training
        self.library = Library(history)
        self.presets = Presets(history)
        self.servers = Servers(history)
        self.ratings = Ratings(history)
        self.blind_tests = BlindTests(history)
        self.privacy = Privacy(history)
        self._folder = PieceFolder(pieces_dir)
        self.limits = limits
        self._turns = Turns(limits.slots, Pace())
        self._quota = Quota(limits, self._turns, history, self.servers)
        self.metrics = Metrics()
        history.on_end = self.metrics.ended
        self.metrics.watch(lambda: self._turns.waiting, lambda: self._turns.running)
        self._workshop = Workshop(engine, history, self._folder, self._turns, self.metrics)
        self._admission = asyncio.Lock()

    @property
    def waiting(self) -> int:
        """Pieces that have no turn yet."""
        return self._turns.waiting

    async def compose(
        self,
        request: ComposeRequest,
        requester: Requester,
        progress: UpdateCallback | None = None,
        *,
        private: bool = False,
        origin: Origin | None = None,
        engine: Engine | None = None,
    ) -> Piece:
        """Make one piece: queued, running, files with their digests in history. Call `mark_delivered` afterwards.

        Cancelling the awaiting task stops the work and marks the request cancelled.

        Args:
            request: what to make.
            requester: who asks, and where.
            progress: told how far it is.
            private: shown to its requester only.
            origin: the piece that this one comes out of.
            engine: makes it in the place of the studio's own.

        Raises:
            NotAllowed: an administrator has blocked this person.
            LimitReached: this person or server has to wait; nothing was written and nothing counts.
            Busy: too many pieces are waiting; likewise.
            Cancelled: somebody called `cancel`.
            EngineClosed: the program is stopping; what can be delivered later goes on at the next start.
            RenderFailed, SetupProblem, Unexpected: it failed; history has the sentence.
        """
        async with self._admission:  # so that two wishes at once cannot both be the last that is allowed
            self._workshop.check_open()
            try:
                await self._quota.check(requester)
            except Busy:
                self.metrics.refused()
                raise
            try:
                record = await surely(self.history.add(request, requester, private=private, origin=origin))
            except asyncio.CancelledError:
                await surely(self.history.finish(request.id, State.CANCELLED))
                raise
            job = self._workshop.enter(record, requester, progress, engine)
        return await self._workshop.finish(job)

    async def request_for(
        self, requester: Requester, values: Mapping[str, Any], *, preset: str | None = None
    ) -> ComposeRequest:
        """What somebody asks for: what they said, else their preset, else their server's defaults, else ours.

        Args:
            requester: who and where.
            values: option name -> value, as from `bot.grammar.parse_values` or typed options.
            preset: the name of one of their presets, or None.

        Raises:
            InvalidRequest: a value is not on offer.
            NotFound: no preset of that name.
        """
        defaults = await self.servers.defaults(requester.guild_id)
        kept = {} if preset is None else await self.presets.get(requester, preset)
        return build_request({**defaults, **kept, **values})

    async def resume(
        self, record: Record, progress: UpdateCallback | None = None, *, engine: Engine | None = None
    ) -> Piece:
        """Go on with a request that `recover` returned: finish it, or find it already made.

        Raises:
            Unexpected: the program died over it again and again, so it is given up.
            and as `compose`.
        """
        files = self._folder.files(record.id)
        if record.result is not None and await asyncio.to_thread(files.match, record.result):
            return self._folder.piece(await self.history.start(record.id))
        await self._workshop.check_harmless(record)
        return await self._workshop.finish(self._workshop.enter(record, record.requester, progress, engine))

    async def set_message(self, piece_id: str, message: MessageRef) -> None:
        """Remember the message that announces a piece, as soon as it exists: a restart goes on by editing it."""
        await self.history.set_message(piece_id, message)

    async def mark_delivered(self, piece_id: str, message: MessageRef | None = None) -> Record:
        """The reply with the files was accepted: the request is done. Calling it twice changes nothing."""
        if message is not None:
            await surely(self.history.set_message(piece_id, message))
        return await surely(self.history.finish(piece_id, State.DELIVERED))

    async def mark_failed(self, piece_id: str, sentence: str) -> Record:
        """The piece was made, but could not be delivered; `sentence` is what the person is told."""
        return await surely(self.history.finish(piece_id, State.FAILED, error=sentence))

    async def recent(
        self,
        viewer: Requester,
        *,
        channels: Collection[str] | None = None,
        mood: Mood | None = None,
        before: int | None = None,
        limit: int = 10,
    ) -> list[Record]:
        """Newest first: the viewer's own requests, or, in a server, everybody's there.

        Args:
            viewer: who looks; private pieces of others are never among them.
            channels: those of the viewer's server that they may read; None: only their own pieces.
            mood: of that mood only.
            before: the number of a piece; only older ones (for the next page).
            limit: at most this many.
        """
        everybody = channels is not None and viewer.guild_id is not None
        return await self.history.newest(
            person=None if everybody else viewer.person,
            guild_id=viewer.guild_id if everybody else None,
            viewer=viewer.person,
            channels=channels,
            mood=mood,
            before=before,
            limit=limit,
        )

    async def find(self, piece_id: str, viewer: Requester | None = None) -> Record:
        """The request of that id; case and spaces are forgiven.

        Args:
            piece_id: as typed.
            viewer: who asks; a private piece of somebody else is not found. None sees everything.

        Raises:
            NotFound: with the nearest id among the viewer's own and those of the viewer's channel.
        """
        typed = piece_id.strip().lstrip("#").casefold()
        record = await self.history.get(typed)
        if record is not None and not (record.private and viewer and viewer.person != record.requester.person):
            return record
        known = [] if viewer is None else await self.recent(viewer, limit=200)
        if viewer is not None and viewer.channel_id is not None:
            known += await self.recent(viewer, channels=[viewer.channel_id], limit=200)
        hint = did_you_mean(nearest(typed[:32], [each.id for each in known]))
        raise NotFound("There is no piece '{id}'{hint}.", id=echo(typed), hint=hint)

    async def piece(self, piece_id: str, viewer: Requester | None = None) -> Piece:
        """A finished piece with its files, from the folder when they are still as they were, else made again.

        Raises:
            NotFound, InvalidRequest, Busy, RenderFailed, SetupProblem, EngineClosed: as `remake`.
        """
        record = await self.find(piece_id, viewer)
        files = self._folder.files(record.id)
        if record.result is not None and await asyncio.to_thread(files.match, record.result):
            return self._folder.piece(record)
        return (await self.remake(piece_id, viewer)).piece

    async def midi(self, record: Record, viewer: Requester) -> bytes:
        """The MIDI file of a finished piece, made again where it is lost.

        Raises:
            InvalidRequest: the piece was never finished, or its notes cannot be had any more.
            Busy, RenderFailed, SetupProblem, EngineClosed: as `remake`.
        """
        if record.result is not None:
            content = await asyncio.to_thread(self._folder.files(record.id).midi_content, record.result)
            if content is not None:
                return content
        remade = await self.remake(record.id, viewer)
        if not remade.same_notes:
            sentence = "The notes of piece {id} are lost, and today's model writes others."
            raise InvalidRequest("id", sentence, id=record.id)
        return await asyncio.to_thread(remade.piece.midi.read_bytes)

    async def hand_over(self, piece: Piece, folder: Path, stem: str) -> Piece:
        """Give the files of a piece away: they move to `folder` as `STEM.mid`, `STEM.wav`, `STEM.ogg` and `STEM.png`.

        Raises:
            StorageProblem: the folder cannot be written.
        """
        files = await asyncio.to_thread(self._folder.hand_over, piece.midi.stem, folder, stem)
        return replace(piece, midi=files.midi, wav=files.wav, png=files.png, ogg=files.ogg)

    async def remake(
        self, piece_id: str, viewer: Requester | None = None, progress: UpdateCallback | None = None
    ) -> Remade:
        """Make a finished piece again from what history remembers, and compare the digests.

        Raises:
            NotFound: no such piece.
            InvalidRequest: it was never finished, so there is nothing to compare with.
            NotAllowed: an administrator has blocked this person.
            Busy, RenderFailed, SetupProblem, EngineClosed: from the engine.
        """
        record = await self.find(piece_id, viewer)
        self._workshop.check_open()
        if viewer is not None:
            await self.servers.check_not_blocked(viewer)
        self._quota.check_now(viewer or record.requester)
        return await self._workshop.make_again(record, viewer or record.requester, progress)

    async def recognise(self, content: bytes, viewer: Requester) -> Recognised:
        """Find out which piece a MIDI, WAV, FLAC or OGG file is; see `bot.recipes.recognise`."""
        return await recognise(self.history, content, viewer)

    async def cancel(self, piece_id: str, by: Requester, *, moderator: bool = False) -> Record:
        """Stop a queued or running request: whoever awaits `compose` gets `Cancelled`.

        Args:
            piece_id: as typed.
            by: its requester, or anybody who is a `moderator`.
            moderator: whether `by` may act for others, as judged by the front end.

        Returns:
            the record as it is now; one that was already finished stays as it was.

        Raises:
            NotFound: no such piece.
            NotAllowed: it is somebody else's.
        """
        record = await self.find(piece_id, None if moderator else by)
        if record.requester.person != by.person and not moderator:
            raise NotAllowed("Only the person who asked for a piece, or a moderator, can cancel it.")
        await self._workshop.stop(record.id)
        return await self._workshop.forsake(record)

    async def delete(self, piece_id: str, by: Requester, *, moderator: bool = False) -> Record:
        """Forget a piece: its record, its files, its place among favourites. One in the making is cancelled first.

        Args:
            piece_id: as typed.
            by: its requester, or anybody who is a `moderator`.
            moderator: whether `by` may act for others, as judged by the front end.

        Returns:
            what was forgotten: its message can be deleted too.

        Raises:
            NotFound: no such piece.
            NotAllowed: it is somebody else's.
        """
        record = await self.find(piece_id, None if moderator else by)
        if record.requester.person != by.person and not moderator:
            raise NotAllowed("Only the person who asked for a piece, or a moderator, can delete it.")
        await surely(self._quota.remember_deleted(record.id))
        await self.discard(record)
        return record

    async def forget(self, person: Requester) -> int:
        """Delete everything that is kept about somebody: pieces in the making, records, files, and all the rest.

        Returns:
            how many pieces there were.
        """
        for update in self._workshop.in_the_making(person.person):
            await self._workshop.stop(update.record.id)
        await self._quota.remember_forgotten(person.person)
        pieces = await surely(self.privacy.forget(person))
        for piece_id in pieces:
            await asyncio.to_thread(self._folder.remove, piece_id)
        return len(pieces)

    async def discard(self, record: Record) -> None:
        """Forget a piece and its files, whoever asked for it."""
        await self._workshop.stop(record.id)
        await surely(self.history.delete(record.id))
        await asyncio.to_thread(self._folder.remove, record.id)

    def queue(self, viewer: Requester) -> list[Update]:
        """How far the viewer's own pieces are that wait or are in the making, the oldest first."""
        return self._workshop.in_the_making(viewer.person)

    async def tidy(self, *, keep_for: timedelta | None, budget_bytes: int) -> Tidied:
        """Forget and delete what nobody needs any more; see `bot.upkeep.tidy`."""
        return await tidy(self.history, self._folder, keep_for=keep_for, budget_bytes=budget_bytes)

    async def recover(self, front_end: FrontEnd) -> list[Record]:
        """At start-up: what processes that died left unfinished. Nothing stays running for ever.

        Requests of `discord` are set back to queued and returned, oldest first, when `front_end` is `discord`: call
        `resume` for each and post the result, or why there is none, through the channel. Requests of a terminal are
        marked failed with a sentence that says why. Requests of processes that are still alive are left alone. A
        retraining that went down with the machine goes on when `front_end` is `discord`.
        """
        if front_end == "discord" and self.training is not None:
            await self.training.recover()
        return await self._workshop.recover(front_end)

    async def aclose(self) -> None:
        """Stop what runs (it is recovered at the next start), close the engine. Safe to call twice."""
        await self._workshop.aclose()
