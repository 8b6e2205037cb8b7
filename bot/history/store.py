"""The database. Implementation follows in the next commit; the signatures are the contract."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bot.history.records import MessageRef, Origin, Record, Requester, Result, State
from data.moods import Mood
from engine.types import ComposeRequest


class History:
    """Requests in SQLite: WAL, foreign keys on, numbered migrations. Use as `async with History(path) as history:`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def __aenter__(self) -> History:
        """Open the database, migrating it when it is older than this program.

        Raises:
            HistoryProblem: it is newer than this program, damaged, or cannot be written.
        """
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        raise NotImplementedError

    async def add(
        self, request: ComposeRequest, requester: Requester, *, private: bool = False, origin: Origin | None = None
    ) -> Record:
        """Write a new request as QUEUED."""
        raise NotImplementedError

    async def start(self, piece_id: str) -> Record:
        """QUEUED -> RUNNING."""
        raise NotImplementedError

    async def made(self, piece_id: str, result: Result) -> Record:
        """Keep the facts of the finished piece; it stays RUNNING until it is delivered."""
        raise NotImplementedError

    async def finish(self, piece_id: str, state: State, *, error: str = "") -> Record:
        """Reach a final state. A request that already reached one keeps it."""
        raise NotImplementedError

    async def set_message(self, piece_id: str, message: MessageRef) -> Record:
        """Remember which message announces the piece, so that it can be edited after a restart."""
        raise NotImplementedError

    async def get(self, piece_id: str) -> Record | None:
        """The request of that id, or None."""
        raise NotImplementedError

    async def newest(
        self,
        *,
        person: str | None = None,
        guild_id: str | None = None,
        states: Sequence[State] = tuple(State),
        mood: Mood | None = None,
        hide_private: bool = False,
        before: str | None = None,
        since: datetime | None = None,
        limit: int = 10,
    ) -> list[Record]:
        """Requests that match every given filter, newest first.

        Args:
            person: `Requester.person`.
            guild_id: asked in that server.
            states: any of these.
            mood: of that mood.
            hide_private: leave private pieces out.
            before: only requests asked before this piece (for the next page).
            since: only requests asked at or after this time.
            limit: at most this many.
        """
        raise NotImplementedError
