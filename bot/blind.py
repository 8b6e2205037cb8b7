"""Blind listening tests: one request by two checkpoints, unnamed; people say which one they like better."""

from __future__ import annotations

import math
import secrets
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from bot.errors import NotFound
from bot.history import History, Record, Requester
from engine.types import new_id

Choice = Literal["left", "right"]

_Z = 1.959964  # of the standard normal distribution at 97.5 %


@dataclass(frozen=True, slots=True)
class BlindTest:
    """A test. Which checkpoint is on which side was drawn by lot.

    Attributes:
        id: names it in buttons.
        left, right: the two pieces.
        votes: people for each side.
    """

    id: str
    left: Record
    right: Record
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

    async def add(self, one: Record, other: Record) -> BlindTest:
        """Keep a test of two finished pieces, their sides drawn by lot."""
        left, right = (one, other) if secrets.randbelow(2) else (other, one)
        test_id = new_id()
        await self._history.write(
            "INSERT INTO blind_tests (id, left_id, right_id, created_at) VALUES (:id, :left, :right, :now)",
            {"id": test_id, "left": left.id, "right": right.id, "now": self._history.now_text()},
        )
        return BlindTest(test_id, left, right, {"left": 0, "right": 0})

    async def get(self, test_id: str) -> BlindTest:
        """The test of that id.

        Raises:
            NotFound: no such test, or one of its pieces was deleted.
        """
        rows = await self._history.rows("SELECT * FROM blind_tests WHERE id = :id", {"id": test_id})
        left = await self._history.get(rows[0]["left_id"]) if rows else None
        right = await self._history.get(rows[0]["right_id"]) if rows else None
        if left is None or right is None:
            raise NotFound("That listening test is not there any more.")
        votes: dict[Choice, int] = {"left": 0, "right": 0}
        counted = await self._history.rows(
            "SELECT choice, count(*) AS n FROM blind_votes WHERE test_id = :id GROUP BY choice", {"id": test_id}
        )
        for row in counted:
            votes[row["choice"]] = int(row["n"])
        return BlindTest(test_id, left, right, votes)

    async def vote(self, test_id: str, by: Requester, choice: Choice) -> BlindTest:
        """Say which piece is better; a second vote of the same person takes the place of the first.

        Raises:
            NotFound: no such test.
        """
        await self.get(test_id)
        await self._history.write(
            "INSERT INTO blind_votes (test_id, person, choice, created_at) VALUES (:id, :person, :choice, :now) "
            "ON CONFLICT (test_id, person) DO UPDATE SET choice = :choice, created_at = :now",
            {"id": test_id, "person": by.person, "choice": choice, "now": self._history.now_text()},
        )
        return await self.get(test_id)

    async def duels(self) -> list[Duel]:
        """The votes between each two checkpoints, the most voted first."""
        rows = await self._history.rows(
            "SELECT l.checkpoint_id AS left_checkpoint, r.checkpoint_id AS right_checkpoint, choice, count(*) AS n "
            "FROM blind_votes JOIN blind_tests ON blind_tests.id = test_id "
            "JOIN results AS l ON l.request_id = left_id JOIN results AS r ON r.request_id = right_id "
            "GROUP BY left_checkpoint, right_checkpoint, choice",
            {},
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


def _duel(first: str, second: str, first_votes: int, second_votes: int) -> Duel:
    n = first_votes + second_votes
    share = first_votes / n
    centre = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    margin = _Z * math.sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return Duel(first, second, first_votes, second_votes, share, centre - margin, centre + margin)
