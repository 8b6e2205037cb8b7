"""The use cases of the bot, for every front end: compose, look back, make again, cancel.

A front end turns what a person typed into a `ComposeRequest`, calls `Studio.compose`, shows the `Piece`, and says
`mark_delivered` once the person has it. Nothing here knows Discord.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from bot.errors import Cancelled, NotAllowed, NotFound, Unexpected
from bot.history import FrontEnd, History, MessageRef, Origin, Record, Requester, Result, State
from bot.pieces import Piece, PieceFolder, Remade, notes_digest
from bot.quota import Limits, Quota, group_of
from bot.surely import surely
from bot.turns import Pace, Ticket, Turns
from data.errors import MusicLSTMError
from data.moods import Mood
from engine.errors import EngineClosed, InvalidRequest
from engine.types import ComposeRequest, Composition, Engine, Progress, Stage

__all__ = ["Limits", "Piece", "Remade", "Studio", "Update", "UpdateCallback"]

_log = logging.getLogger(__name__)

_PACE_PIECES = 20  # finished pieces that the estimates start from: a few minutes' worth, so of this machine and model


@dataclass(frozen=True, slots=True)
class Update:
    """How far a piece is, for showing to the one who waits.

    Attributes:
        record: the request (its id, who asked …).
        stage: QUEUED, SAMPLING or RENDERING.
        done: QUEUED: pieces ahead of this one. SAMPLING: notes written. RENDERING: percent.
        total: QUEUED: the same as `done`. SAMPLING: notes asked for. RENDERING: 100.
        remaining_s: estimated seconds until the piece is complete, from measured speeds; None while nothing is known.
    """

    record: Record
    stage: Stage
    done: int
    total: int
    remaining_s: float | None


UpdateCallback = Callable[[Update], None]  # called on the event loop's thread; must return at once and not raise

_Tell = Callable[[Stage, int, int, float | None], None]


@dataclass(frozen=True, slots=True)
class _Job:
    """A piece on its way through the queue and the engine."""

    record: Record
    ticket: Ticket
    tell: _Tell


class Studio:
    """The one way from a request to files and into history. One per process; every front end shares it.

    Args:
        engine: makes the pieces; closed by `aclose`.
        history: open; stays the caller's to close.
        pieces_dir: where the files of pieces are kept; made when missing.
        limits: of the queue, of persons and of servers.
    """

    def __init__(self, engine: Engine, history: History, *, pieces_dir: Path, limits: Limits) -> None:
        self.history = history
        self._engine = engine
        self._folder = PieceFolder(pieces_dir)
        self._pace = Pace()
        self._turns = Turns(limits.slots, self._pace)
        self._quota = Quota(limits, self._turns, history)
        self._admission = asyncio.Lock()
        self._making: dict[str, asyncio.Task[Piece]] = {}
        self._remaking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._closing = False

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
    ) -> Piece:
        """Make one piece: queued, running, files with their digests in history. Call `mark_delivered` afterwards.

        Cancelling the awaiting task stops the work and marks the request cancelled.

        Raises:
            LimitReached: this person or server has to wait; nothing was written and nothing counts.
            Busy: too many pieces are waiting; likewise.
            Cancelled: somebody called `cancel`.
            EngineClosed: the program is stopping; what can be delivered later goes on at the next start.
            RenderFailed, SetupProblem, Unexpected: it failed; history has the sentence.
        """
        async with self._admission:  # so that two wishes at once cannot both be the last that is allowed
            self._check_open()
            await self._quota.check(requester)
            try:
                record = await surely(self.history.add(request, requester, private=private, origin=origin))
            except asyncio.CancelledError:
                await surely(self.history.finish(request.id, State.CANCELLED))
                raise
            job = self._enter(record, requester, progress)
        return await self._see_through(job)

    async def resume(self, record: Record, progress: UpdateCallback | None = None) -> Piece:
        """Go on with a request that `recover` returned: finish it, or find it already made. Raises as `compose`."""
        files = self._folder.files(record.id)
        if record.result is not None and await asyncio.to_thread(files.match, record.result):
            return self._piece(await self.history.start(record.id))
        return await self._see_through(self._enter(record, record.requester, progress))

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
        whole_server: bool = False,
        mood: Mood | None = None,
        before: str | None = None,
        limit: int = 10,
    ) -> list[Record]:
        """Newest first: the viewer's own requests, or, with `whole_server`, everybody's in the viewer's server.

        Other people's private pieces are never among them. `before` (a piece id) gives the next page.
        """
        everybody = whole_server and viewer.guild_id is not None
        return await self.history.newest(
            person=None if everybody else viewer.person,
            guild_id=viewer.guild_id if everybody else None,
            hide_private_from=viewer.person,
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
            NotFound: with the nearest id among the viewer's own and those of the viewer's server.
        """
        typed = piece_id.strip().lstrip("#").casefold()
        record = await self.history.get(typed)
        if record is not None and not (record.private and viewer and viewer.person != record.requester.person):
            return record
        known = [] if viewer is None else await self.recent(viewer, limit=200)
        if viewer is not None and viewer.guild_id is not None:
            known += await self.recent(viewer, whole_server=True, limit=200)
        close = difflib.get_close_matches(typed[:32], [each.id for each in known], n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        shown = "".join(letter for letter in typed[:24] if letter.isprintable())
        raise NotFound(f"There is no piece '{shown}'{hint}.")

    async def piece(self, piece_id: str, viewer: Requester | None = None) -> Piece:
        """A finished piece with its files, from the folder when they are still as they were, else made again.

        Raises:
            NotFound, InvalidRequest, Busy, RenderFailed, SetupProblem, EngineClosed: as `remake`.
        """
        record = await self.find(piece_id, viewer)
        files = self._folder.files(record.id)
        if record.result is not None and await asyncio.to_thread(files.match, record.result):
            return self._piece(record)
        return (await self.remake(piece_id, viewer)).piece

    async def hand_over(self, piece: Piece, folder: Path, stem: str) -> Piece:
        """Give the files of a piece away: they move to `folder` as `STEM.mid`, `STEM.wav` and `STEM.png`.

        Raises:
            StorageProblem: the folder cannot be written.
        """
        files = await asyncio.to_thread(self._folder.hand_over, piece.midi.stem, folder, stem)
        return replace(piece, midi=files.midi, wav=files.wav, png=files.png)

    async def remake(
        self, piece_id: str, viewer: Requester | None = None, progress: UpdateCallback | None = None
    ) -> Remade:
        """Make a finished piece again from what history remembers, and compare the digests.

        Raises:
            NotFound: no such piece.
            InvalidRequest: it was never finished, so there is nothing to compare with.
            Busy, RenderFailed, SetupProblem, EngineClosed: from the engine.
        """
        record = await self.find(piece_id, viewer)
        original = record.result
        if original is None:
            raise InvalidRequest(
                "id", f"Piece {record.id} was never finished ({record.state}), so there is none to show."
            )
        self._check_open()
        self._quota.check_now(viewer or record.requester)
        again = f"{record.id}-again"
        async with self._remaking.setdefault(record.id, asyncio.Lock()):
            job = self._enter(record, viewer or record.requester, progress)
            try:
                composition, result = await self._make(job, again)
            finally:
                self._turns.leave(job.ticket)
            same = (result.midi_sha256, result.wav_sha256) == (original.midi_sha256, original.wav_sha256)
            if same:
                await asyncio.to_thread(self._folder.rename, again, record.id)
        return Remade(
            piece=self._piece(record, name=record.id if same else again),
            same_notes=notes_digest(composition.score) == original.notes_sha256,
            same_sound=result.wav_sha256 == original.wav_sha256,
            checkpoint_id=composition.checkpoint_id,
        )

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
        task = self._making.get(record.id)
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        return await self._forsake(record)

    async def recover(self, front_end: FrontEnd) -> list[Record]:
        """At start-up: what processes that died left unfinished. Nothing stays running for ever.

        Requests of `discord` that have a channel are set back to queued and returned, oldest first, when `front_end`
        is `discord`: call `resume` for each and post the result through the channel. Requests of a terminal are marked
        failed with a sentence that says why. Requests of processes that are still alive are left alone.
        """
        for record in reversed(await self.history.newest(states=[State.DELIVERED], limit=_PACE_PIECES)):
            if record.result is not None and record.started_at is not None and record.made_at is not None:
                self._pace.observe(record.result.notes, (record.made_at - record.started_at).total_seconds())
        mine = []
        for record in await self.history.abandoned():
            if record.requester.front_end != "discord":
                await self.history.finish(record.id, State.FAILED, error="The program stopped before it was finished.")
            elif front_end == "discord" and record.requester.channel_id is not None:
                mine.append(await self.history.adopt(record.id))
            elif front_end == "discord":
                await self.history.finish(record.id, State.FAILED, error="The bot stopped before it was finished.")
        return mine

    async def aclose(self) -> None:
        """Stop what runs (it is recovered at the next start), close the engine. Safe to call twice."""
        self._closing = True
        for task in self._making.values():
            task.cancel()
        if self._making:
            await asyncio.wait(self._making.values())
        await self._engine.aclose()

    def _check_open(self) -> None:
        if self._closing:
            raise EngineClosed("The bot is stopping; try again in a minute.")

    def _enter(self, record: Record, requester: Requester, progress: UpdateCallback | None) -> _Job:
        tell = _teller(record, progress)
        ticket = self._turns.enter(
            person=requester.person,
            group=group_of(requester),
            notes=record.request.length_notes,
            on_place=lambda ahead, remaining_s: tell(Stage.QUEUED, ahead, ahead, remaining_s),
        )
        return _Job(record, ticket, tell)

    async def _see_through(self, job: _Job) -> Piece:
        """Make the piece of a request that is QUEUED, and keep its history true whatever happens."""
        record = job.record
        task = asyncio.create_task(self._work(job), name=f"piece {record.id}")
        self._making[record.id] = task
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await surely(_ended(task))
            if not self._closing:
                await surely(self._forsake(record))
            raise
        finally:
            del self._making[record.id]
            self._turns.leave(job.ticket)
        if not task.cancelled():
            return task.result()
        if self._closing:
            raise EngineClosed("The bot is stopping; your piece will be finished when it is back.")
        await surely(self._forsake(record))
        raise Cancelled(f"Piece {record.id} was cancelled.")

    async def _work(self, job: _Job) -> Piece:
        piece_id = job.record.id
        try:
            await job.ticket.turn
            await surely(self.history.start(piece_id))
            _, result = await self._make(job, piece_id)
            return self._piece(await surely(self.history.made(piece_id, result)))
        except MusicLSTMError as error:
            if not (self._closing and isinstance(error, EngineClosed)):
                await surely(self.history.finish(piece_id, State.FAILED, error=str(error)))
            raise
        except Exception as error:
            _log.exception("piece %s failed", piece_id)
            sentence = f"Something unexpected went wrong; the log has the details under {piece_id}."
            await surely(self.history.finish(piece_id, State.FAILED, error=sentence))
            raise Unexpected(sentence) from error

    async def _make(self, job: _Job, name: str) -> tuple[Composition, Result]:
        """Wait for the turn, let the engine compose, and keep the files under `name`."""

        def relay(step: Progress) -> None:
            job.tell(step.stage, step.done, step.total, self._turns.remaining_s(job.ticket))

        await job.ticket.turn
        composition = await self._engine.compose(job.record.request, relay)
        result = await asyncio.to_thread(self._folder.keep, composition, name)
        self._turns.made(job.ticket)
        return composition, result

    async def _forsake(self, record: Record) -> Record:
        """Nobody wants the piece any more; one that was already finished stays as it was."""
        now = await self.history.finish(record.id, State.CANCELLED)
        if now.state is State.CANCELLED:
            await asyncio.to_thread(self._folder.remove, record.id)
        return now

    def _piece(self, record: Record, name: str | None = None) -> Piece:
        files = self._folder.files(name or record.id)
        return Piece(record=record, midi=files.midi, wav=files.wav, png=files.png)


async def _ended(task: asyncio.Task[Piece]) -> None:
    """Wait until it is done; what it says is of no interest any more."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()


def _teller(record: Record, progress: UpdateCallback | None) -> _Tell:
    def tell(stage: Stage, done: int, total: int, remaining_s: float | None) -> None:
        if progress is None:
            return
        try:
            progress(Update(record, stage, done, total, remaining_s))
        except Exception:
            _log.exception("showing the progress of piece %s failed", record.id)  # showing must not stop the work

    return tell
