"""What the administrators of a Discord server decide, and the list of what they did.

Whether somebody may decide is for the front end to check; every change is written to the audit in the same transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.errors import NotAllowed
from bot.grammar import Values, build_request, format_values, parse_values
from bot.history import History, Record, Requester
from engine.errors import InvalidRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server has chosen.

    Attributes:
        defaults: what a request means when it leaves something out, as in the grammar; "" is the program's own.
        user_per_hour: pieces that one person may ask for here in an hour; None is what the program's settings say.
        best_of_channel_id: where pieces are posted that enough people like; None is nowhere.
        best_of_favourites: how many people that is.
    """

    defaults: str = ""
    user_per_hour: int | None = None
    best_of_channel_id: str | None = None
    best_of_favourites: int = 3


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """What an administrator did: when, who, the action's name, what about it."""

    at: datetime
    person_name: str
    action: str
    details: str


class Servers:
    """Settings, blocks and the audit, in the history's database.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def settings(self, guild_id: str) -> ServerSettings:
        """What a server has chosen."""
        rows = await self._history.rows("SELECT * FROM servers WHERE guild_id = :guild", {"guild": guild_id})
        if not rows:
            return ServerSettings()
        return ServerSettings(
            defaults=rows[0]["defaults"],
            user_per_hour=rows[0]["user_per_hour"],
            best_of_channel_id=rows[0]["best_of_channel_id"],
            best_of_favourites=rows[0]["best_of_favourites"],
        )

    async def defaults(self, guild_id: str | None) -> Values:
        """What a request in that server means when it leaves something out, ready for `build_request`."""
        return {} if guild_id is None else parse_values((await self.settings(guild_id)).defaults)

    async def set_defaults(self, guild_id: str, text: str, by: Requester) -> str:
        """Choose what a request means when it leaves something out.

        Args:
            guild_id: the server.
            text: as in the grammar; "" goes back to the program's own.
            by: the administrator.

        Returns:
            the defaults as they were understood.

        Raises:
            InvalidRequest: the text is no request, or names a seed (every piece would be the same).
        """
        values = parse_values(text)
        build_request(values)
        if "seed" in values:
            raise InvalidRequest("seed", "A default seed would make every piece the same: leave it out.")
        defaults = format_values(values)
        await self._set(guild_id, "defaults", defaults, by)
        return defaults

    async def set_user_per_hour(self, guild_id: str, pieces: int | None, by: Requester) -> None:
        """Choose how many pieces one person may ask for in an hour; None goes back to the program's limit.

        Raises:
            InvalidRequest: not a number from 0 to 1000.
        """
        if pieces is not None and not 0 <= pieces <= 1000:
            raise InvalidRequest("", "Pieces an hour are a whole number from 0 to 1000.")
        await self._set(guild_id, "user_per_hour", pieces, by)

    async def set_best_of(self, guild_id: str, channel_id: str | None, favourites: int, by: Requester) -> None:
        """Choose the channel for pieces that so many people like; None for nowhere.

        Raises:
            InvalidRequest: not a number from 1 to 1000.
        """
        if not 1 <= favourites <= 1000:
            raise InvalidRequest("", "The number of favourites is a whole number from 1 to 1000.")
        await self._set(guild_id, "best_of_channel_id", channel_id, by)
        await self._set(guild_id, "best_of_favourites", favourites, by)

    async def best_of_channel(self, record: Record) -> str | None:
        """The channel to which this piece is posted once enough people like it, or None."""
        guild_id = record.requester.guild_id
        return None if guild_id is None or record.private else (await self.settings(guild_id)).best_of_channel_id

    async def claim_best_of(self, record: Record) -> bool:
        """Whether this piece is to be posted there now. Says so once for each piece, ever."""
        settings = await self.settings(record.requester.guild_id or "")
        claimed = await self._history.write(
            "INSERT OR IGNORE INTO best_of_posts (request_id, posted_at) SELECT :id, :now "
            "WHERE (SELECT count(*) FROM favourites WHERE request_id = :id) >= :enough",
            {"id": record.id, "now": self._history.now_text(), "enough": settings.best_of_favourites},
        )
        return bool(claimed)

    async def release_best_of(self, record: Record) -> None:
        """The piece could not be posted there after all: the next one who likes it brings it up again."""
        await self._history.write("DELETE FROM best_of_posts WHERE request_id = :id", {"id": record.id})

    async def block(self, person: str, guild_id: str, by: Requester) -> None:
        """Take no more requests from somebody in a server."""
        values = {"person": person, "guild": guild_id, "now": self._history.now_text()}
        sql = "INSERT OR IGNORE INTO blocks (person, guild_id, created_at) VALUES (:person, :guild, :now)"
        await self._change(sql, values, guild_id, by, "block", person)

    async def unblock(self, person: str, guild_id: str, by: Requester) -> None:
        """Take requests again."""
        values = {"person": person, "guild": guild_id}
        sql = "DELETE FROM blocks WHERE person = :person AND guild_id = :guild"
        await self._change(sql, values, guild_id, by, "unblock", person)

    async def blocked(self, guild_id: str) -> list[str]:
        """Who is blocked in a server."""
        rows = await self._history.rows(
            "SELECT person FROM blocks WHERE guild_id = :guild ORDER BY created_at", {"guild": guild_id}
        )
        return [row["person"] for row in rows]

    async def check_not_blocked(self, requester: Requester) -> None:
        """Whether requests are taken from somebody.

        Raises:
            NotAllowed: no.
        """
        values = {"person": requester.person, "guild": requester.guild_id}
        sql = "SELECT 1 FROM blocks WHERE person = :person AND guild_id = :guild"
        if await self._history.rows(sql, values):
            raise NotAllowed("An administrator has blocked you from using the bot in this server.")

    async def note(self, guild_id: str | None, by: Requester, action: str, details: str) -> None:
        """Write to the audit what an administrator did outside this class."""
        await self._change(None, {}, guild_id, by, action, details)

    async def audit(self, guild_id: str | None, *, whole_bot: bool = False, limit: int = 20) -> list[AuditEntry]:
        """What administrators did, the latest first.

        Args:
            guild_id: in that server, or (None) to the whole bot.
            whole_bot: to the whole bot as well.
            limit: at most this many.
        """
        rows = await self._history.rows(
            "SELECT * FROM audit WHERE guild_id IS :guild OR (:whole_bot AND guild_id IS NULL) "
            "ORDER BY number DESC LIMIT :limit",
            {"guild": guild_id, "whole_bot": whole_bot, "limit": limit},
        )
        return [
            AuditEntry(datetime.fromisoformat(row["at"]), row["person_name"], row["action"], row["details"])
            for row in rows
        ]

    async def _set(self, guild_id: str, column: str, value: str | int | None, by: Requester) -> None:
        sql = (
            f"INSERT INTO servers (guild_id, {column}) VALUES (:guild, :value) "  # noqa: S608 - columns named above
            f"ON CONFLICT (guild_id) DO UPDATE SET {column} = :value"
        )
        details = f"{column} = {'default' if value is None else value}"
        await self._change(sql, {"guild": guild_id, "value": value}, guild_id, by, "set", details)

    async def _change(
        self, sql: str | None, values: Mapping[str, Any], guild_id: str | None, by: Requester, action: str, details: str
    ) -> None:
        entry = {
            "at": self._history.now_text(),
            "guild": guild_id,
            "person": by.person,
            "name": by.user_name,
            "action": action,
            "details": details,
        }
        async with self._history.transaction() as db:
            if sql is not None:
                await db.execute(sql, dict(values))
            await db.execute(
                "INSERT INTO audit (at, guild_id, person, person_name, action, details) "
                "VALUES (:at, :guild, :person, :name, :action, :details)",
                entry,
            )
