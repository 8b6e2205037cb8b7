"""What is kept about a person, why, and how they get it or get rid of it.

Kept for each request: who asked, where and when, what for, and what became of it, so that a piece can be found, made
again and delivered after a restart; of a file that somebody had continued, its notes. No message content is kept.
Favourites, presets, ratings and votes are kept because somebody pressed a button to keep them.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.grammar import format_request
from bot.history import History, Record, Requester
from bot.history.rows import to_text, to_time
from data.keys import Key

_OWN_TABLES = ("favourites", "presets", "ratings", "blind_votes", "consents", "blocks", "deleted_requests")


@dataclass(frozen=True, slots=True)
class Kept:
    """How much is kept about somebody."""

    requests: int
    favourites: int
    presets: int
    ratings: int
    votes: int
    since: datetime | None
    training_consent: bool


class Privacy:
    """Looks into, exports and deletes what concerns one person.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def kept(self, person: Requester) -> Kept:
        """How much is kept about somebody."""
        counts = {}
        for table in ("requests", "favourites", "presets", "ratings", "blind_votes", "consents"):
            rows = await self._history.rows(
                f"SELECT count(*) FROM {table} WHERE person = :person",  # noqa: S608 - names from the line above
                {"person": person.person},
            )
            counts[table] = int(rows[0][0])
        first = await self._history.rows(
            "SELECT min(created_at) FROM requests WHERE person = :person", {"person": person.person}
        )
        return Kept(
            requests=counts["requests"],
            favourites=counts["favourites"],
            presets=counts["presets"],
            ratings=counts["ratings"],
            votes=counts["blind_votes"],
            since=to_time(first[0][0]),
            training_consent=bool(counts["consents"]),
        )

    async def set_training_consent(self, person: Requester, *, given: bool) -> None:
        """Allow or forbid that somebody's favourites among their own pieces are used for training. Off until given.

        They are then used under CC0-1.0 and credited to "listeners", without anybody's name.
        """
        sql = (
            "INSERT OR IGNORE INTO consents (person, given_at) VALUES (:person, :now)"
            if given
            else "DELETE FROM consents WHERE person = :person"
        )
        await self._history.write(sql, {"person": person.person, "now": self._history.now_text()})

    async def training_pieces(self) -> list[Record]:
        """Finished pieces that may be used for training: favourites of their own authors, who consented.

        One that begins with the notes of another piece or of a file is not its author's alone to give.
        """
        return await self._history.records(
            "JOIN favourites ON favourites.request_id = requests.id AND favourites.person = requests.person "
            "JOIN consents ON consents.person = requests.person "
            "WHERE results.request_id IS NOT NULL AND requests.opening IS NULL ORDER BY number",
            {},
        )

    async def export(self, person: Requester) -> dict[str, Any]:
        """Everything that is kept about somebody, ready for `json.dumps`."""
        requests = await self._history.records(
            "WHERE requests.person = :person ORDER BY number", {"person": person.person}
        )
        export: dict[str, Any] = {
            "exported_at": self._history.now_text(),
            "person": person.person,
            "why": (__doc__ or "").partition("\n\n")[2].strip(),
            "requests": [_plain_record(record) for record in requests],
        }
        for table in _OWN_TABLES:
            rows = await self._history.rows(
                f"SELECT * FROM {table} WHERE person = :person",  # noqa: S608 - names from this module
                {"person": person.person},
            )
            export[table] = [{key: row[key] for key in row.keys() if key != "person"} for row in rows]  # noqa: SIM118 - a Row iterates over values
        rows = await self._history.rows(
            "SELECT copies.* FROM copies JOIN requests ON id = request_id WHERE person = :person",
            {"person": person.person},
        )
        export["copies"] = [dict(row) for row in rows]
        rows = await self._history.rows(
            "SELECT at, guild_id, action, details FROM audit WHERE person = :person", {"person": person.person}
        )
        export["administration"] = [dict(row) for row in rows]
        return export

    async def forget(self, person: Requester) -> list[str]:
        """Delete everything that is kept about somebody, except that an administrator has blocked them.

        What they did as an administrator stays in the audit without their name.

        Returns:
            the ids of their pieces, whose files are to be deleted too.
        """
        values = {"person": person.person}
        ids = [row["id"] for row in await self._history.rows("SELECT id FROM requests WHERE person = :person", values)]
        async with self._history.transaction() as db:
            for table in {*_OWN_TABLES, "requests"} - {"blocks"}:
                await db.execute(f"DELETE FROM {table} WHERE person = :person", values)  # noqa: S608 - names from above
            await db.execute("UPDATE audit SET person = '', person_name = '' WHERE person = :person", values)
            await db.execute("UPDATE audit SET details = '(deleted)' WHERE details = :person", values)
        return ids


def _plain_record(record: Record) -> dict[str, Any]:
    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return to_text(value)
        if isinstance(value, Key):
            return str(value)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return value

    return {"id": record.id, "text": format_request(record.request), **plain(record)}
