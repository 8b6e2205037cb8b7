"""The use cases of the bot, for every front end: compose, look back, make again, cancel.

A front end turns what a person typed into a `ComposeRequest`, calls `Studio.compose`, shows the `Piece`, and says
`mark_delivered` once the person has it. Nothing here knows Discord.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bot.history import FrontEnd, History, MessageRef, Origin, Record, Requester
from data.moods import Mood
from engine.types import ComposeRequest, Engine, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one person and one server may ask for. A refused request counts for nothing.

    Attributes:
        user_waiting: unfinished pieces of one person at once.
        guild_waiting: unfinished pieces of one server at once.
        user_per_hour: pieces of one person in any 60 minutes.
        guild_per_hour: pieces of one server in any 60 minutes.
    """

    user_waiting: int = 4
    guild_waiting: int = 40
    user_per_hour: int = 60
    guild_per_hour: int = 600


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A finished piece and its files, which stay in `pieces_dir` and belong to the studio: copy, do not move.

    Attributes:
        record: `record.result` is never None.
        midi, wav, png: the files; the PNG is the piano roll.
    """

    record: Record
    midi: Path
    wav: Path
    png: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """A piece made a second time from what history remembers, and the proof.

    Attributes:
        piece: the new files; `piece.record` is the original record.
        same_notes: every note equals the original's.
        same_sound: the WAV is bit for bit the original's.
        checkpoint_id: the model in use now; where it differs from `piece.record.result.checkpoint_id`, other notes are
            expected.
    """

    piece: Piece
    same_notes: bool
    same_sound: bool
    checkpoint_id: str

    @property
    def other_checkpoint(self) -> bool:
        """Whether another model is in use now than the one that wrote the original."""
        result = self.piece.record.result
        return result is not None and result.checkpoint_id != self.checkpoint_id


class Studio:
    """The one way from a request to files and into history. One per process; every front end shares it.

    Args:
        engine: makes the pieces; closed by `aclose`.
        history: open; stays the caller's to close.
        pieces_dir: where the files of pieces are kept; made when missing.
        limits: for persons and servers.
    """

    def __init__(self, engine: Engine, history: History, *, pieces_dir: Path, limits: Limits) -> None:
        raise NotImplementedError

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
            Cancelled: somebody called `cancel`.
            Busy, RenderFailed, SetupProblem, EngineClosed: from the engine; history has the sentence.
        """
        raise NotImplementedError

    async def resume(self, record: Record, progress: UpdateCallback | None = None) -> Piece:
        """Go on with a request that `recover` returned: finish it, or find it already made. Raises as `compose`."""
        raise NotImplementedError

    async def set_message(self, piece_id: str, message: MessageRef) -> None:
        """Remember the message that announces a piece, as soon as it exists: a restart goes on by editing it."""
        raise NotImplementedError

    async def mark_delivered(self, piece_id: str, message: MessageRef | None = None) -> Record:
        """The reply with the files was accepted: the request is done. Calling it twice changes nothing."""
        raise NotImplementedError

    async def mark_failed(self, piece_id: str, sentence: str) -> Record:
        """The piece was made, but could not be delivered; `sentence` is what the person is told."""
        raise NotImplementedError

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
        raise NotImplementedError

    async def find(self, piece_id: str, viewer: Requester | None = None) -> Record:
        """The request of that id; case and spaces are forgiven.

        Args:
            piece_id: as typed.
            viewer: who asks; a private piece of somebody else is not found. None sees everything.

        Raises:
            NotFound: with the nearest id among the viewer's own and those of the viewer's server.
        """
        raise NotImplementedError

    async def remake(
        self, piece_id: str, viewer: Requester | None = None, progress: UpdateCallback | None = None
    ) -> Remade:
        """Make a finished piece again from what history remembers, and compare the digests.

        Raises:
            NotFound: no such piece.
            InvalidRequest: it was never finished, so there is nothing to compare with.
            Busy, RenderFailed, SetupProblem, EngineClosed: from the engine.
        """
        raise NotImplementedError

    async def cancel(self, piece_id: str, by: Requester, *, moderator: bool = False) -> Record:
        """Stop a queued or running request: whoever awaits `compose` gets `Cancelled`.

        Args:
            piece_id: as typed.
            by: its requester, or anybody who is a `moderator`.
            moderator: whether `by` may act for others, as judged by the front end.

        Raises:
            NotFound: no such piece.
            NotAllowed: it is somebody else's.
        """
        raise NotImplementedError

    async def recover(self, front_end: FrontEnd) -> list[Record]:
        """At start-up: what processes that died left unfinished. Nothing stays running for ever.

        Requests of `discord` that have a channel are set back to queued and returned, oldest first: call `resume` for
        each and post the result through the channel. All others are marked failed with a sentence that says why.
        Requests of processes that are still alive are left alone.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """Stop what runs (it is recovered at the next start), close the engine. Safe to call twice."""
        raise NotImplementedError
