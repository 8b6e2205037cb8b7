"""Blind listening tests: one request by two checkpoints, unnamed; people say which one they like better.

How the two pieces are made is in `bot.listening`.
"""

from __future__ import annotations

import math
import secrets
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from bot.errors import NotAllowed, NotFound
from bot.history import History, MessageRef, Record, Requester, State
from bot.history.rows import to_text, to_time
from engine.types import new_id

Choice = Literal["left", "right"]

VOTES_TO_REVEAL = 5  # with so many votes, or after so long, anybody may see the result
OPEN_FOR = timedelta(days=1)

_Z = 1.959964  # of the standard normal distribution at 97.5 %


@dataclass(frozen=True, slots=True)
class BlindTest:
    """A test. Which checkpoint is on which side was drawn by lot.

    Attributes:
        id: names it in buttons.
        left, right: the two pieces, finished or not; private until the result is shown.
        challenger_id: the piece of another checkpoint than the one that was in use.
        challenger_model: that checkpoint.
        created_at: UTC.
        revealed: whether the result is shown; nobody votes any more.
        votes: people for each side.
    """

    id: str
    left: Record
    right: Record
    challenger_id: str
    challenger_model: str
    created_at: datetime
    revealed: bool
    votes: dict[Choice, int]


@dataclass(frozen=True, slots=True)
class Duel:
    """All votes between two checkpoints.

    Attributes:
        first, second: checkpoint ids, in alphabetical order.
        first_votes, second_votes: votes for each.
        share: of the votes that `first` got.
        low, high: 95 % Wilson score interval of the share (Wilson 1927); 0.5 inside it means undecided.
    """

    first: str
    second: str
    first_votes: int
    second_votes: int
    share: float
    low: float
    high: float


class BlindTests:
    """Tests and votes, in the history's database.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def plan(self, own_id: str, challenger_id: str, challenger_model: str) -> str:
        """Write down a test whose pieces are asked for next, their sides drawn by lot. Returns its id."""
        left, right = (own_id, challenger_id) if secrets.randbelow(2) else (challenger_id, own_id)
        values = {
            "id": new_id(),
            "left": left,
            "right": right,
            "challenger": challenger_id,
            "model": challenger_model,
            "now": self._history.now_text(),
        }
        await self._history.write(
            "INSERT INTO blind_tests (id, left_id, right_id, challenger_id, challenger_model, created_at) "
            "VALUES (:id, :left, :right, :challenger, :model, :now)",
            values,
        )
        return values["id"]

    async def drop(self, test_id: str) -> None:
        """Forget a test of which nothing came."""
        await self._history.write("DELETE FROM blind_tests WHERE id = :id", {"id": test_id})

    async def of(self, piece_id: str) -> BlindTest | None:
        """The test to which a piece belongs, or None."""
        rows = await self._history.rows(
            "SELECT id FROM blind_tests WHERE left_id = :id OR right_id = :id", {"id": piece_id}
        )
        try:
            return await self.get(rows[0]["id"]) if rows else None
        except NotFound:  # the program ended before its other piece was asked for
            return None

    async def get(self, test_id: str) -> BlindTest:
        """The test of that id.

        Raises:
            NotFound: no such test, or one of its pieces was deleted.
        """
        rows = await self._history.rows("SELECT * FROM blind_tests WHERE id = :id", {"id": test_id})
        left = await self._history.get(rows[0]["left_id"]) if rows else None
        right = await self._history.get(rows[0]["right_id"]) if rows else None
        created_at = to_time(rows[0]["created_at"]) if rows else None
        if left is None or right is None or created_at is None:
            raise NotFound("That listening test is not there any more.")
        votes: dict[Choice, int] = {"left": 0, "right": 0}
        counted = await self._history.rows(
            "SELECT choice, count(*) AS n FROM blind_votes WHERE test_id = :id GROUP BY choice", {"id": test_id}
        )
        for row in counted:
            votes[row["choice"]] = int(row["n"])
        return BlindTest(
            id=test_id,
            left=left,
            right=right,
            challenger_id=rows[0]["challenger_id"],
            challenger_model=rows[0]["challenger_model"],
            created_at=created_at,
            revealed=rows[0]["revealed_at"] is not None,
            votes=votes,
        )

    async def set_message(self, piece_id: str, message: MessageRef) -> None:
        """Remember the message that carries the test of that piece, with both pieces of it that are asked for."""
        await self._history.write(
            "UPDATE requests SET message_channel_id = :channel, message_id = :message WHERE id IN "
            "(SELECT left_id FROM blind_tests WHERE :id IN (left_id, right_id) "
            "UNION SELECT right_id FROM blind_tests WHERE :id IN (left_id, right_id))",
            {"id": piece_id, "channel": message.channel_id, "message": message.message_id},
        )

    async def vote(self, test_id: str, by: Requester, choice: Choice) -> BlindTest:
        """Say which piece is better; a second vote of the same person takes the place of the first.

        Raises:
            NotFound: no such test.
            NotAllowed: its result has been shown.
        """
        if (await self.get(test_id)).revealed:
            raise NotAllowed("The result of this test has been shown, so nobody votes any more.")
        await self._history.write(
            "INSERT INTO blind_votes (test_id, person, choice, created_at) VALUES (:id, :person, :choice, :now) "
            "ON CONFLICT (test_id, person) DO UPDATE SET choice = :choice, created_at = :now",
            {"id": test_id, "person": by.person, "choice": choice, "now": self._history.now_text()},
        )
        return await self.get(test_id)

    async def reveal(self, test_id: str, by: Requester, *, moderator: bool = False) -> BlindTest:
        """End a test and show which checkpoint was which. Its pieces are no longer private.

        Whoever asked for it may do so at any time, anybody after VOTES_TO_REVEAL votes or OPEN_FOR.

        Raises:
            NotFound: no such test.
            NotAllowed: `by` is somebody else, and it is too early.
        """
        test = await self.get(test_id)
        ripe = sum(test.votes.values()) >= VOTES_TO_REVEAL or self._history.clock() - test.created_at >= OPEN_FOR
        if not (ripe or moderator or by.person == test.left.requester.person):
            raise NotAllowed(
                "Whoever asked for this test can show its result now; everybody can with {n} votes, or tomorrow.",
                n=VOTES_TO_REVEAL,
            )
        async with self._history.transaction() as db:
            await db.execute(
                "UPDATE blind_tests SET revealed_at = coalesce(revealed_at, ?) WHERE id = ?",
                (self._history.now_text(), test_id),
            )
            await db.execute("UPDATE requests SET private = 0 WHERE id IN (?, ?)", (test.left.id, test.right.id))
        return await self.get(test_id)

    async def duels(self) -> list[Duel]:
        """The votes between each two checkpoints, the most voted first.

        Votes count once their test is over: before, a look at the sum would tell which piece is whose.
        """
        rows = await self._history.rows(
            "SELECT l.checkpoint_id AS left_checkpoint, r.checkpoint_id AS right_checkpoint, choice, count(*) AS n "
            "FROM blind_votes JOIN blind_tests ON blind_tests.id = test_id "
            "JOIN results AS l ON l.request_id = left_id JOIN results AS r ON r.request_id = right_id "
            "WHERE revealed_at IS NOT NULL OR blind_tests.created_at <= :open_since "
            "GROUP BY left_checkpoint, right_checkpoint, choice",
            {"open_since": to_text(self._history.clock() - OPEN_FOR)},
        )
        votes: Counter[tuple[str, str, bool]] = Counter()
        for row in rows:
            first, second = sorted((row["left_checkpoint"], row["right_checkpoint"]))
            chosen = row["left_checkpoint"] if row["choice"] == "left" else row["right_checkpoint"]
            votes[first, second, chosen == first] += int(row["n"])
        pairs = {(first, second) for first, second, _ in votes if first != second}
        duels = [
            _duel(first, second, votes[first, second, True], votes[first, second, False]) for first, second in pairs
        ]
        return sorted(duels, key=lambda duel: (-duel.first_votes - duel.second_votes, duel.first, duel.second))


def over(test: BlindTest) -> bool:
    """Whether nothing will come of a test: one of its pieces failed or was cancelled."""
    return any(record.state in {State.FAILED, State.CANCELLED} for record in (test.left, test.right))


def _duel(first: str, second: str, first_votes: int, second_votes: int) -> Duel:
    n = first_votes + second_votes
    share = first_votes / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    margin = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return Duel(first, second, first_votes, second_votes, share, centre - margin, centre + margin)
