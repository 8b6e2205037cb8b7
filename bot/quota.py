"""How much one person and one server may ask for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.errors import LimitReached
from bot.history import History, Requester, State
from bot.history.rows import to_text
from bot.servers import Servers
from bot.turns import Turns
from data.phrases import Phrase
from engine.errors import Busy

_HOUR = timedelta(hours=1)
_FORGOTTEN_MAX = 1000  # requests of one person that are remembered for their hour: as many as a limit can allow
_YOURS = Phrase("You have asked for {pieces} within an hour, which is the limit; ask again later.")
_SERVERS = Phrase("This server has asked for {pieces} within an hour, which is the limit; ask again later.")
_YOURS_HERE = Phrase("In this server you have asked for {pieces} within an hour, which is the limit; ask again later.")
_COUNTED = [state for state in State if state is not State.FAILED]  # a piece that failed costs nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much may be asked for. A refused request counts for nothing; people at the terminal have no quota.

    Attributes:
        slots: pieces that the engine makes at the same time.
        queue: pieces that may wait for their turn.
        user_waiting: unfinished pieces of one person at once.
        guild_waiting: unfinished pieces of one server at once.
        user_per_hour: pieces of one person in any 60 minutes.
        guild_per_hour: pieces of one server in any 60 minutes.
    """

    slots: int = 3
    queue: int = 200
    user_waiting: int = 4
    guild_waiting: int = 40
    user_per_hour: int = 60
    guild_per_hour: int = 600


@dataclass(frozen=True, slots=True)
class _Asked:
    """That somebody asked for a piece: who, in which server, when."""

    person: str
    guild_id: str | None
    at: datetime


class Quota:
    """Says no, in one sentence and with a time, before anything is written: being refused costs nothing."""

    def __init__(self, limits: Limits, turns: Turns, history: History, servers: Servers) -> None:
        self._limits = limits
        self._turns = turns
        self._history = history
        self._servers = servers
        self._forgotten: list[_Asked] = []  # what was deleted with all else about somebody

    async def check(self, requester: Requester) -> None:
        """Whether one more piece may be asked for.

        Raises:
            NotAllowed: an administrator has blocked this person.
            Busy, LimitReached: not now; `retry_after_s` says when.
        """
        if requester.front_end != "discord":
            self.check_now(requester)
            return
        await self._servers.check_not_blocked(requester)
        self.check_now(requester)
        await self._check_hour(self._limits.user_per_hour, _YOURS, person=requester.person)
        if requester.guild_id is None:
            return
        await self._check_hour(self._limits.guild_per_hour, _SERVERS, guild_id=requester.guild_id)
        allowed = (await self._servers.settings(requester.guild_id)).user_per_hour
        if allowed is not None:
            where = {"person": requester.person, "guild_id": requester.guild_id}
            await self._check_hour(allowed, _YOURS_HERE, **where)

    async def remember_deleted(self, piece_id: str) -> None:
        """Before a request is deleted: the limits of its hour still count it.

        Only who asked, where and when is kept, and only until that is an hour ago.
        """
        await forget_deleted(self._history)
        await self._history.write(
            "INSERT INTO deleted_requests (person, guild_id, created_at) SELECT person, guild_id, created_at "
            "FROM requests WHERE id = :id AND state != 'failed' AND created_at >= :since",
            {"id": piece_id, "since": to_text(self._history.clock() - _HOUR)},
        )

    async def remember_forgotten(self, person: str) -> None:
        """Before everything about somebody is deleted: their hour still counts, in memory alone."""
        since = self._history.clock() - _HOUR
        kept = await self._history.newest(person=person, states=_COUNTED, since=since, limit=_FORGOTTEN_MAX)
        asked = [_Asked(person, record.requester.guild_id, record.created_at) for record in kept]
        asked += await self._deleted(person, None, since)
        self._forgotten = [each for each in self._forgotten if each.at >= since] + asked

    async def _deleted(self, person: str | None, guild_id: str | None, since: datetime) -> list[_Asked]:
        """Requests that were deleted one by one: of a person, in a server, or of anybody anywhere (None)."""
        rows = await self._history.rows(
            "SELECT * FROM deleted_requests WHERE created_at >= :since "
            "AND (:person IS NULL OR person = :person) AND (:guild IS NULL OR guild_id = :guild)",
            {"person": person, "guild": guild_id, "since": to_text(since)},
        )
        return [_Asked(row["person"], row["guild_id"], datetime.fromisoformat(row["created_at"])) for row in rows]

    def check_now(self, requester: Requester) -> None:
        """The part that concerns only what is waiting and being made at this moment. Raises as `check`."""
        waiting, limits = self._turns.waiting, self._limits
        if waiting >= limits.queue:
            sentence = "{n} pieces are waiting already; try again a little later."
            raise Busy(sentence, self._turns.wait_s(0) or 60.0, n=waiting)
        if requester.front_end != "discord":
            return
        if self._turns.count(person=requester.person) >= limits.user_waiting:
            sentence = "You have {pieces} in the making, which is the limit; ask again when one is finished."
            raise LimitReached(sentence, self._turns.wait_s(0) or 30.0, pieces=_pieces(limits.user_waiting))
        if requester.guild_id is not None and self._turns.count(group=group_of(requester)) >= limits.guild_waiting:
            sentence = "This server has {pieces} in the making, which is the limit; ask again when one is finished."
            raise LimitReached(sentence, self._turns.wait_s(0) or 30.0, pieces=_pieces(limits.guild_waiting))

    async def _check_hour(
        self, allowed: int, sentence: Phrase, *, person: str | None = None, guild_id: str | None = None
    ) -> None:
        now = self._history.clock()
        if allowed == 0:
            raise LimitReached("Nobody may ask for pieces here at the moment.", _HOUR.total_seconds())
        pieces = await self._history.newest(
            person=person, guild_id=guild_id, states=_COUNTED, since=now - _HOUR, limit=allowed
        )
        gone = [
            *await self._deleted(person, guild_id, now - _HOUR),
            *(each for each in self._forgotten if person in {None, each.person} and guild_id in {None, each.guild_id}),
        ]
        asked_at = [piece.created_at for piece in pieces]
        asked_at += [each.at for each in gone if each.at >= now - _HOUR]
        if len(asked_at) < allowed:
            return
        wait_s = max((sorted(asked_at)[-allowed] + _HOUR - now).total_seconds(), 1.0)
        raise LimitReached(Phrase(sentence.text, pieces=_pieces(allowed)), wait_s)


async def forget_deleted(history: History) -> None:
    """Forget the deleted requests whose hour is over."""
    values = {"since": to_text(history.clock() - _HOUR)}
    await history.write("DELETE FROM deleted_requests WHERE created_at < :since", values)


def _pieces(n: int) -> Phrase:
    return Phrase("1 piece") if n == 1 else Phrase("{n} pieces", n=n)


def group_of(requester: Requester) -> str:
    """Who shares the engine as one: a server; a person in direct messages; everybody of one name at this terminal."""
    return f"guild:{requester.guild_id}" if requester.guild_id is not None else requester.person
