"""The database: requests in SQLite through aiosqlite, one connection, WAL, foreign keys on.

Every write is one transaction that is on disk (in the write-ahead log) before the method returns: a kill -9 at any
moment loses nothing that was promised. `synchronous` is NORMAL: only a power cut can take back the last moments, and
it leaves the database whole (SQLite documentation, "PRAGMA synchronous").
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiosqlite

from bot.errors import HistoryProblem, NotFound
from bot.history.migrate import migrate
from bot.history.records import MessageRef, Origin, Record, Requester, Result, State
from bot.history.rows import IN_CHANNELS, record_of, request_columns, result_columns, to_text
from bot.history.session import Session
from bot.surely import surely
from data.moods import Mood
from engine.types import ComposeRequest

_UNFINISHED = "state IN ('queued', 'running')"
_SELECT = "SELECT requests.*, results.* FROM requests LEFT JOIN results ON results.request_id = requests.id"
_FILTERS = {  # of `History.newest`
    "person": "person = :person",
    "guild_id": "guild_id = :guild_id",
    "states": "state IN (SELECT value FROM json_each(:states))",
    "mood": "mood = :mood",
    "viewer": "(private = 0 OR person = :viewer)",
    "channels": f"(person = :viewer OR {IN_CHANNELS})",
    "before": "number < :before",
    "since": "created_at >= :since",
}


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class History:
    """Requests in SQLite. Use as `async with History(path) as history:`.

    Args:
        path: the database; made, or brought up to date, when it is opened.
        clock: tells the time; tests move it.
    """

    def __init__(self, path: Path, *, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self.clock = clock
        self.on_end: Callable[[Record], None] | None = None  # told once of each request that reaches a final state
        self._writing = asyncio.Lock()  # one connection has one transaction: writers take turns
        self._open = contextlib.AsyncExitStack()
        self._closed = True

    async def __aenter__(self) -> History:
        """Open the database, migrating it when it is older than this program.

        Raises:
            HistoryProblem: it is newer than this program, damaged, or cannot be written.
        """
        await asyncio.to_thread(migrate, self.path)
        async with contextlib.AsyncExitStack() as stack:
            try:
                self._session = Session(self.path.with_name(self.path.name + "-sessions"))
            except OSError as error:
                raise HistoryProblem(f"The history {self.path} cannot be opened: {error}.") from error
            stack.callback(self._session.close)
            self._db = await stack.enter_async_context(aiosqlite.connect(self.path, timeout=10, isolation_level=None))
            self._db.row_factory = sqlite3.Row
            await self._db.execute("PRAGMA foreign_keys = ON")
            await self._db.execute("PRAGMA synchronous = NORMAL")
            await self._db.execute("PRAGMA secure_delete = ON")  # what somebody had deleted is overwritten, not hidden
            self._open = stack.pop_all()
            self._closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        async with self._writing:  # whoever is writing comes to the end
            await self._open.aclose()
            self._closed = True

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[aiosqlite.Connection]:
        """All of it or nothing: commits at the end of the block, rolls back when it raises or is cancelled.

        Raises:
            HistoryProblem: the database cannot be written.
        """
        async with self._writing:
            self._check_open()
            try:
                await self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                await self._db.execute("COMMIT")
            except BaseException as error:
                await surely(self._rollback())
                if isinstance(error, sqlite3.Error):
                    raise HistoryProblem(f"The history {self.path} cannot be written: {error}.") from error
                raise

    def _check_open(self) -> None:
        if self._closed:
            raise HistoryProblem(f"The history {self.path} is closed: the program is stopping.")

    async def _rollback(self) -> None:
        # A cancelled call still runs: once this one has, all before it have, and `in_transaction` tells the truth.
        await self._db.execute("SELECT 1")
        if self._db.in_transaction:
            await self._db.execute("ROLLBACK")

    async def rows(self, sql: str, values: Mapping[str, Any]) -> list[sqlite3.Row]:
        """Run one reading statement.

        Raises:
            HistoryProblem: the database cannot be read.
        """
        self._check_open()
        try:
            return list(await self._db.execute_fetchall(sql, dict(values)))
        except sqlite3.Error as error:
            raise HistoryProblem(f"The history {self.path} cannot be read: {error}.") from error

    async def records(self, tail: str, values: Mapping[str, Any]) -> list[Record]:
        """The requests that the end of a SELECT statement chooses: its joins, conditions, order and limit."""
        return [record_of(row) for row in await self.rows(f"{_SELECT} {tail}", values)]

    async def write(self, sql: str, values: Mapping[str, Any]) -> int:
        """Run one writing statement; returns how many rows it changed."""
        async with self.transaction() as db:
            return (await db.execute(sql, dict(values))).rowcount

    async def add(
        self, request: ComposeRequest, requester: Requester, *, private: bool = False, origin: Origin | None = None
    ) -> Record:
        """Write a new request as QUEUED."""
        columns = {
            **request_columns(request),
            "front_end": requester.front_end,
            "person": requester.person,
            "user_id": requester.user_id,
            "user_name": requester.user_name,
            "guild_id": requester.guild_id,
            "channel_id": requester.channel_id,
            "private": int(private),
            "parent_id": origin.parent_id if origin else None,
            "relation": origin.relation if origin else None,
            "state": State.QUEUED,
            "session_id": self._session.id,
            "created_at": self.now_text(),
        }
        # A parent that was deleted a moment ago is none, as it would be if it were deleted a moment later.
        sql = _insert_sql("requests", columns).replace(":parent_id", "(SELECT id FROM requests WHERE id = :parent_id)")
        await self.write(sql, columns)
        return await self._existing(request.id)

    async def start(self, piece_id: str) -> Record:
        """QUEUED -> RUNNING."""
        sql = "UPDATE requests SET state = 'running', started_at = :now WHERE id = :id AND state = 'queued'"
        return await self._update(piece_id, sql, {"now": self.now_text()})

    async def made(self, piece_id: str, result: Result) -> Record:
        """Keep the facts of the finished piece; it stays RUNNING until it is delivered."""
        columns = {"request_id": piece_id, **result_columns(result)}
        async with self.transaction() as db:
            await db.execute("DELETE FROM results WHERE request_id = ?", (piece_id,))
            await db.execute(_insert_sql("results", columns), columns)
            await db.execute("UPDATE requests SET made_at = ? WHERE id = ?", (self.now_text(), piece_id))
        return await self._existing(piece_id)

    async def finish(self, piece_id: str, state: State, *, error: str = "") -> Record:
        """Reach a final state. A request that already reached one keeps it."""
        sql = f"UPDATE requests SET state = :state, error = :error, finished_at = :now WHERE id = :id AND {_UNFINISHED}"  # noqa: S608 - a constant
        values = {"id": piece_id, "state": state, "error": error, "now": self.now_text()}
        changed = await self.write(sql, values)
        record = await self._existing(piece_id)
        if changed and self.on_end is not None:
            self.on_end(record)
        return record

    async def requeue(self, piece_id: str) -> Record:
        """RUNNING -> QUEUED: the program is stopping in an orderly way, and the piece will be made later."""
        return await self._update(
            piece_id, "UPDATE requests SET state = 'queued' WHERE id = :id AND state = 'running'", {}
        )

    async def set_message(self, piece_id: str, message: MessageRef) -> Record:
        """Remember which message announces the piece, so that it can be edited after a restart."""
        sql = "UPDATE requests SET message_channel_id = :channel, message_id = :message WHERE id = :id"
        return await self._update(piece_id, sql, {"channel": message.channel_id, "message": message.message_id})

    async def get(self, piece_id: str) -> Record | None:
        """The request of that id, or None."""
        found = await self.records("WHERE requests.id = :id", {"id": piece_id})
        return found[0] if found else None

    async def newest(
        self,
        *,
        person: str | None = None,
        guild_id: str | None = None,
        states: Sequence[State] = tuple(State),
        mood: Mood | None = None,
        viewer: str | None = None,
        channels: Collection[str] | None = None,
        before: int | None = None,
        since: datetime | None = None,
        limit: int = 10,
    ) -> list[Record]:
        """Requests that match every given filter, newest first.

        Args:
            person: asked by them (`Requester.person`).
            guild_id: asked in that server.
            states: any of these.
            mood: of that mood.
            viewer: leave out private pieces of everybody but this person.
            channels: leave out what everybody but the viewer had made in other Discord channels than these.
            before: only requests asked before that one (`Record.number`, for the next page).
            since: only requests asked at or after this time.
            limit: at most this many.
        """
        values = {
            "person": person,
            "guild_id": guild_id,
            "states": json.dumps(list(states)),
            "mood": mood,
            "viewer": viewer,
            "channels": None if channels is None else json.dumps(list(channels)),
            "before": before,
            "since": None if since is None else to_text(since),
        }
        where = " AND ".join(condition for name, condition in _FILTERS.items() if values[name] is not None)
        return await self.records(f"WHERE {where} ORDER BY number DESC LIMIT :limit", {**values, "limit": limit})

    async def abandoned(self) -> list[Record]:
        """Unfinished requests of processes that are gone, oldest first."""
        sql = f"{_SELECT} WHERE {_UNFINISHED} ORDER BY number"
        rows = await self.rows(sql, {})
        alive = {name: self._session.alive(name) for name in {row["session_id"] for row in rows}}
        return [record_of(row) for row in rows if not alive[row["session_id"]]]

    @property
    def session_id(self) -> str:
        """Names this opening of the history, as `session_alive` knows it."""
        return self._session.id

    def session_alive(self, session_id: str) -> bool:
        """Whether the process of that session still has the history open."""
        return self._session.alive(session_id)

    async def adopt(self, piece_id: str) -> Record:
        """Take over an abandoned request: QUEUED again, and this process works on it."""
        sql = (
            "UPDATE requests SET attempts = attempts + (state = 'running' AND made_at IS NULL), state = 'queued', "  # noqa: S608
            f"session_id = :session WHERE id = :id AND {_UNFINISHED}"
        )
        return await self._update(piece_id, sql, {"session": self._session.id})

    async def delete(self, piece_id: str) -> None:
        """Forget a request and everything that hangs on it."""
        await self.write("DELETE FROM requests WHERE id = :id", {"id": piece_id})

    async def _existing(self, piece_id: str) -> Record:
        record = await self.get(piece_id)
        if record is None:
            raise NotFound("Piece {id} has been deleted.", id=piece_id)
        return record

    async def _update(self, piece_id: str, sql: str, values: Mapping[str, Any]) -> Record:
        await self.write(sql, {**values, "id": piece_id})
        return await self._existing(piece_id)

    def now_text(self) -> str:
        """The time as the database keeps it."""
        return to_text(self.clock())


def _insert_sql(table: str, columns: Mapping[str, Any]) -> str:
    names = ", ".join(columns)
    marks = ", ".join(f":{name}" for name in columns)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names come from this module alone
