"""What people do with pieces once they are made: favourites, a server's best, where they came from and were posted."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.history import History, MessageRef, Record, Requester
from bot.history.rows import IN_CHANNELS, to_text

_ANCESTORS_MAX = 50  # a chain that is longer is cut: nobody reads further


@dataclass(frozen=True, slots=True)
class Ranked:
    """A piece and how many people have it among their favourites."""

    record: Record
    favourites: int


class Library:
    """Favourites, lineage and copies, in the history's database.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def set_favourite(self, record: Record, by: Requester, *, on: bool = True) -> int:
        """Put a piece among somebody's favourites, or take it out; twice is once.

        Returns:
            how many people have it among theirs now.
        """
        values = {"person": by.person, "id": record.id, "now": self._history.now_text()}
        sql = (
            "INSERT OR IGNORE INTO favourites (person, request_id, created_at) VALUES (:person, :id, :now)"
            if on
            else "DELETE FROM favourites WHERE person = :person AND request_id = :id"
        )
        await self._history.write(sql, values)
        return await self.favourite_count(record)

    async def is_favourite(self, record: Record, of: Requester) -> bool:
        """Whether the piece is among that person's favourites."""
        sql = "SELECT 1 FROM favourites WHERE person = :person AND request_id = :id"
        return bool(await self._history.rows(sql, {"person": of.person, "id": record.id}))

    async def favourite_count(self, record: Record) -> int:
        """How many people have the piece among their favourites."""
        rows = await self._history.rows("SELECT count(*) FROM favourites WHERE request_id = :id", {"id": record.id})
        return int(rows[0][0])

    async def favourites(self, of: Requester, *, offset: int = 0, limit: int = 10) -> list[Record]:
        """Somebody's favourites, the latest first; pieces that their author has made private since are left out."""
        return await self._history.records(
            "JOIN favourites ON favourites.request_id = requests.id AND favourites.person = :person "
            "WHERE (private = 0 OR requests.person = :person) "
            "ORDER BY favourites.created_at DESC, number DESC LIMIT :limit OFFSET :offset",
            {"person": of.person, "limit": limit, "offset": offset},
        )

    async def top(
        self, guild_id: str, channels: Collection[str], *, since: datetime | None = None, limit: int = 10
    ) -> list[Ranked]:
        """A server's public pieces that most people have among their favourites, the best first.

        Args:
            guild_id: the server in which the pieces were made.
            channels: only pieces that were made in these channels of it.
            since: only pieces asked for at or after this time.
            limit: at most this many.
        """
        rows = await self._history.rows(
            "SELECT request_id, count(*) AS favourites FROM favourites JOIN requests ON requests.id = request_id "  # noqa: S608
            f"WHERE guild_id = :guild AND private = 0 AND {IN_CHANNELS} AND requests.created_at >= :since "
            "GROUP BY request_id ORDER BY favourites DESC, number DESC LIMIT :limit",
            {
                "guild": guild_id,
                "channels": json.dumps(list(channels)),
                "since": to_text(since) if since else "",
                "limit": limit,
            },
        )
        ranked = [(await self._history.get(row["request_id"]), int(row["favourites"])) for row in rows]
        return [Ranked(record, count) for record, count in ranked if record is not None]

    async def add_copy(self, record: Record, message: MessageRef) -> None:
        """Remember one more message that carries a piece."""
        await self._history.write(
            "INSERT OR IGNORE INTO copies (request_id, channel_id, message_id) "
            "SELECT id, :channel, :message FROM requests WHERE id = :id",
            {"id": record.id, "channel": message.channel_id, "message": message.message_id},
        )

    async def publish(self, record: Record, message: MessageRef) -> None:
        """Everybody may know of a piece from now on: its author has posted it in that message."""
        if record.message is not None:
            await self.add_copy(record, record.message)
        await self._history.set_message(record.id, message)
        await self._history.write("UPDATE requests SET private = 0 WHERE id = :id", {"id": record.id})

    async def messages(self, record: Record) -> list[MessageRef]:
        """Every message that is known to carry a piece."""
        return await self._messages(piece_id=record.id)

    async def messages_of(self, person: Requester) -> list[MessageRef]:
        """Every message that is known to carry a piece of somebody's."""
        return await self._messages(person=person.person)

    async def _messages(self, *, piece_id: str | None = None, person: str | None = None) -> list[MessageRef]:
        rows = await self._history.rows(
            "WITH theirs AS (SELECT * FROM requests WHERE id = :id OR person = :person) "
            "SELECT message_channel_id AS channel_id, message_id FROM theirs "
            "WHERE state = 'delivered' AND message_id IS NOT NULL "
            "UNION SELECT copies.channel_id, copies.message_id FROM copies JOIN theirs ON id = request_id",
            {"id": piece_id, "person": person},
        )
        return [MessageRef(row["channel_id"], row["message_id"]) for row in rows]

    async def want_gone(self, messages: Sequence[MessageRef]) -> None:
        """Remember, over restarts, that these messages are to be taken away, whatever becomes of their pieces."""
        async with self._history.transaction() as db:
            await db.executemany(
                "INSERT OR IGNORE INTO unwanted_messages (channel_id, message_id) VALUES (?, ?)",
                [(message.channel_id, message.message_id) for message in messages],
            )

    async def unwanted(self) -> list[MessageRef]:
        """The messages that are still to be taken away."""
        rows = await self._history.rows("SELECT channel_id, message_id FROM unwanted_messages", {})
        return [MessageRef(row["channel_id"], row["message_id"]) for row in rows]

    async def gone(self, message: MessageRef) -> None:
        """The message is not there any more, or can never be taken away."""
        await self._history.write(
            "DELETE FROM unwanted_messages WHERE channel_id = :channel AND message_id = :message",
            {"channel": message.channel_id, "message": message.message_id},
        )

    async def lineage(self, record: Record, viewer: Requester | None = None) -> list[Record]:
        """The pieces that this one came out of, the oldest first, itself not included.

        Args:
            record: the piece.
            viewer: who looks; private pieces of others are left out. None sees everything.
        """
        chain: list[Record] = []
        origin = record.origin
        while origin is not None and len(chain) < _ANCESTORS_MAX:
            parent = await self._history.get(origin.parent_id)
            if parent is None:
                break
            if viewer is None or not parent.private or parent.requester.person == viewer.person:
                chain.append(parent)
            origin = parent.origin
        return chain[::-1]
