"""Where pieces are made: a turn in the queue, the engine, the files; history follows each step."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace

from bot.errors import BROKEN_HERE, Cancelled, NotFound, Unexpected
from bot.history import FrontEnd, History, Record, Requester, Result, State
from bot.metrics import Metrics
from bot.pieces import Piece, PieceFolder, Remade, again
from bot.quota import group_of
from bot.surely import surely
from bot.turns import Ticket, Turns
from data.errors import MusicLSTMError
from data.phrases import Phrase
from engine.errors import EngineClosed, InvalidRequest, SetupProblem
from engine.types import Composition, Engine, Progress, Stage

_log = logging.getLogger(__name__)

_TELLING_SHARE = 0.1  # of the sound, after which its own pace is the best estimate
_ATTEMPTS_MAX = 3  # a piece in whose making the process died so often is not tried again: it may be the cause
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


@dataclass(slots=True)
class Job:
    """A piece on its way through the queue and the engine. Made by `Workshop.enter`."""

    record: Record
    ticket: Ticket
    progress: UpdateCallback | None
    engine: Engine
    task: asyncio.Task[Piece] | None = None
    latest: Update | None = None
    told_at: float = 0.0  # time.monotonic() of the latest

    def tell(self, stage: Stage, done: int, total: int, remaining_s: float | None) -> None:
        """Report how far it is."""
        self.latest, self.told_at = Update(self.record, stage, done, total, remaining_s), time.monotonic()
        if self.progress is None:
            return
        try:
            self.progress(self.latest)
        except Exception:  # showing must not stop the work
            _log.exception("showing the progress of piece %s failed", self.record.id)


class Workshop:
    """Makes pieces in fair order, and keeps their history true whatever happens.

    Args:
        engine: composes; closed by `aclose`.
        history: open.
        folder: of the pieces' files.
        turns: who is next.
        metrics: told of what is made.
    """

    def __init__(self, engine: Engine, history: History, folder: PieceFolder, turns: Turns, metrics: Metrics) -> None:
        self._engine = engine
        self._history = history
        self._folder = folder
        self._turns = turns
        self._metrics = metrics
        self._jobs: dict[str, Job] = {}  # by piece id: those of `finish`, whose history is being written
        self._remaking: weakref.WeakValueDictionary[str, asyncio.Lock] = weakref.WeakValueDictionary()
        self._idle = asyncio.Event()  # set while there are none
        self._idle.set()
        self._closing = False

    def check_open(self) -> None:
        """Whether pieces are still taken.

        Raises:
            EngineClosed: no, the program is stopping.
        """
        if self._closing:
            raise EngineClosed("The bot is stopping; try again in a minute.")

    def enter(
        self,
        record: Record,
        requester: Requester,
        progress: UpdateCallback | None,
        engine: Engine | None = None,
    ) -> Job:
        """Queue a piece up, for another engine than the usual one where one is given.

        `finish` has to follow at once.
        """
        ticket = self._turns.enter(
            person=requester.person,
            group=group_of(requester),
            notes=record.request.length_notes,
            on_place=lambda ahead, remaining_s: job.tell(Stage.QUEUED, ahead, ahead, remaining_s),
        )
        job = Job(record, ticket, progress, engine or self._engine)
        return job

    async def finish(self, job: Job) -> Piece:
        """Make the piece of a request that is QUEUED. Raises as `Studio.compose`."""
        job.task = asyncio.create_task(self._work(job), name=f"piece {job.record.id}")
        self._jobs[job.record.id] = job
        self._idle.clear()
        try:
            return await self._watch(job.record, job.task)
        finally:
            self._turns.leave(job.ticket)
            del self._jobs[job.record.id]
            if not self._jobs:
                self._idle.set()

    async def _watch(self, record: Record, task: asyncio.Task[Piece]) -> Piece:
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            task.cancel()
            await surely(_ended(task))
            await surely(self._requeue(record) if self._closing else self.forsake(record))
            raise
        if not task.cancelled():
            return task.result()
        if self._closing:
            await surely(self._requeue(record))
            raise EngineClosed("The bot is stopping; your piece will be finished when it is back.")
        await surely(self.forsake(record))
        raise Cancelled("Piece {id} was cancelled.", id=record.id)

    async def make_again(self, record: Record, requester: Requester, progress: UpdateCallback | None) -> Remade:
        """Make a finished piece a second time and compare; history is not told. Raises as `Studio.remake`."""
        original = record.result
        if original is None:
            sentence = "Piece {id} was never finished ({state}), so there is none to show."
            raise InvalidRequest("id", sentence, id=record.id, state=Phrase(record.state))
        name = again(record.id)
        async with self._remaking.setdefault(record.id, asyncio.Lock()):  # its files have one name
            job = self.enter(record, requester, progress)
            try:
                composition, result = await self._make(job, name)
            except MusicLSTMError:
                raise
            except Exception as error:
                raise self._unexpected(job, error) from error
            finally:
                self._turns.leave(job.ticket)
            same = (result.midi_sha256, result.wav_sha256) == (original.midi_sha256, original.wav_sha256)
            if same:
                await asyncio.to_thread(self._folder.rename, name, record.id)
            if await self._history.get(record.id) is None:  # deleted meanwhile: nothing of it may come back
                await asyncio.to_thread(self._folder.remove, record.id)
                raise NotFound("Piece {id} has been deleted.", id=record.id)
        return Remade(
            piece=self._folder.piece(record, name=record.id if same else name),
            same_notes=result.notes_sha256 == original.notes_sha256,
            same_sound=result.wav_sha256 == original.wav_sha256,
            checkpoint_id=composition.checkpoint_id,
        )

    async def recover(self, front_end: FrontEnd) -> list[Record]:
        """What processes that died left unfinished, and how long pieces took them; see `Studio.recover`."""
        for record in reversed(await self._history.newest(states=[State.DELIVERED], limit=_PACE_PIECES)):
            if record.result is not None and record.started_at is not None and record.made_at is not None:
                self._turns.learn(record.result.notes, (record.made_at - record.started_at).total_seconds())
        mine = []
        for record in await self._history.abandoned():
            if record.requester.front_end != "discord":
                await self.fail(record.id, "The program stopped before it was finished.")
            elif front_end == "discord":
                mine.append(await self._history.adopt(record.id))
        return mine

    async def check_harmless(self, record: Record) -> None:
        """Whether the piece of a request that `recover` returned is tried once more.

        Raises:
            Unexpected: the program died over it again and again; the request is marked failed.
        """
        if record.attempts >= _ATTEMPTS_MAX:
            sentence = "I stopped {n} times while I made piece {id}, so it is given up: try another seed."
            given_up = Unexpected(sentence, n=record.attempts, id=record.id)
            await self.fail(record.id, str(given_up))
            raise given_up

    async def stop(self, piece_id: str) -> None:
        """Cancel the work on a piece, wherever it is, and wait until it has stopped."""
        job = self._jobs.get(piece_id)
        if job is not None and job.task is not None:
            job.task.cancel()
            await asyncio.wait({job.task})

    async def forsake(self, record: Record) -> Record:
        """Nobody wants the piece any more; one that was already finished, or deleted, stays as it is."""
        try:
            record = await self._history.finish(record.id, State.CANCELLED)
        except NotFound:
            return record
        if record.state is State.CANCELLED:
            await asyncio.to_thread(self._folder.remove, record.id)
        return record

    async def fail(self, piece_id: str, sentence: str) -> None:
        """The piece will never be finished; files of an earlier attempt go, those of a finished piece stay."""
        record = await self._history.finish(piece_id, State.FAILED, error=sentence)
        if record.result is None:
            await asyncio.to_thread(self._folder.remove, piece_id)

    def in_the_making(self, person: str) -> list[Update]:
        """The latest news of each piece of that person that waits or is being made, the oldest first."""
        jobs = [job for job in self._jobs.values() if job.task is None or not job.task.done()]
        return [self._news(job) for job in jobs if job.record.requester.person == person]

    def _news(self, job: Job) -> Update:
        if job.latest is not None:
            left_s = job.latest.remaining_s
            since_s = time.monotonic() - job.told_at
            return replace(job.latest, remaining_s=None if left_s is None else max(0.0, left_s - since_s))
        ahead = self._turns.place(job.ticket)  # it came a moment ago and has not been told yet
        return Update(job.record, Stage.QUEUED, ahead, ahead, None)

    async def aclose(self) -> None:
        """Stop all work, leaving it unfinished in history, and close the engine. Safe to call twice."""
        self._closing = True
        for job in self._jobs.values():
            if job.task is not None:
                job.task.cancel()
        await self._idle.wait()  # history knows of each where it was left
        await self._engine.aclose()

    async def _work(self, job: Job) -> Piece:
        piece_id = job.record.id
        try:
            await job.ticket.turn
            await surely(self._history.start(piece_id))
            _, result = await self._make(job, piece_id)
            record = await surely(self._history.made(piece_id, result))
            self._metrics.made(record)
            return self._folder.piece(record)
        except MusicLSTMError as error:
            if not (self._closing and isinstance(error, EngineClosed)):
                # What has to be mended where the bot runs is for whoever runs it, and a record is for anybody.
                hidden = isinstance(error, SetupProblem) and job.record.requester.front_end == "discord"
                await surely(self.fail(piece_id, BROKEN_HERE if hidden else str(error)))
            raise
        except Exception as error:
            unexpected = self._unexpected(job, error)
            await surely(self.fail(piece_id, str(unexpected)))
            raise unexpected from error

    async def _requeue(self, record: Record) -> Record:
        with contextlib.suppress(NotFound):  # deleted at this very moment
            return await self._history.requeue(record.id)
        return record

    async def _make(self, job: Job, name: str) -> tuple[Composition, Result]:
        sounding_since = math.inf

        def relay(step: Progress) -> None:
            nonlocal sounding_since
            # While others are ahead of it within the engine, its own pace says nothing.
            remaining_s = None if step.stage is Stage.QUEUED else self._turns.remaining_s(job.ticket)
            if step.stage is Stage.RENDERING:
                sounding_since = min(sounding_since, time.monotonic())
                if step.done >= _TELLING_SHARE * step.total:
                    # How fast this very piece sounds says more by now than how long others took.
                    remaining_s = (time.monotonic() - sounding_since) * (step.total - step.done) / step.done
                    self._turns.expect(job.ticket, remaining_s)
            job.tell(step.stage, step.done, step.total, remaining_s)

        await job.ticket.turn
        composition = await job.engine.compose(job.record.request, relay)
        # To the end even when it is cancelled now: whoever cleans up has to find all files or none.
        result = await surely(asyncio.to_thread(self._folder.keep, composition, name))
        self._turns.made(job.ticket)
        return composition, result

    def _unexpected(self, job: Job, error: Exception) -> Unexpected:
        _log.error("piece %s failed", job.record.id, exc_info=error)
        return Unexpected("Something unexpected went wrong; the log has the details under {id}.", id=job.record.id)


async def _ended(task: asyncio.Task[Piece]) -> None:
    """Wait until it is done; what it says is of no interest any more."""
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
