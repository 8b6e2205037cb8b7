"""Listening tests: people rate pieces, and each checkpoint gets its means with confidence intervals."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

from bot.history import History, Record, Requester
from data.phrases import Phrase
from engine.errors import InvalidRequest

SCALES: dict[str, str] = {
    "coherence": "Does it hang together?",
    "repetition": "Does it repeat itself well: neither too much nor too little?",
    "atmosphere": "Does it have an atmosphere?",
    "fit": "Does it fit the mood that was asked for?",
}
SCORE_MIN, SCORE_MAX = 1, 5


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's view of one piece, each from 1 (not at all) to 5 (very much).

    Raises:
        InvalidRequest: a value is out of range.
    """

    coherence: int
    repetition: int
    atmosphere: int
    fit: int

    def __post_init__(self) -> None:
        for scale in SCALES:
            value = getattr(self, scale)
            if isinstance(value, bool) or not isinstance(value, int) or not SCORE_MIN <= value <= SCORE_MAX:
                sentence = "{name} is a whole number from {low} to {high}."
                raise InvalidRequest(scale, sentence, name=Phrase(scale), low=SCORE_MIN, high=SCORE_MAX)


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with the half-width of its 95 % confidence interval; None from fewer than two people."""

    value: float
    margin: float | None


@dataclass(frozen=True, slots=True)
class CheckpointRatings:
    """What people think of one checkpoint's pieces.

    Attributes:
        checkpoint_id: the model.
        ratings: how many were given.
        raters: by how many people.
        pieces: to how many pieces.
        means: scale -> mean.
    """

    checkpoint_id: str
    ratings: int
    raters: int
    pieces: int
    means: dict[str, Mean]


class Ratings:
    """Everybody's ratings, in the history's database.

    Args:
        history: open.
    """

    def __init__(self, history: History) -> None:
        self._history = history

    async def rate(self, record: Record, by: Requester, rating: Rating) -> None:
        """Keep somebody's rating of a finished piece, in the place of an earlier one of theirs.

        Raises:
            InvalidRequest: the piece was never finished.
        """
        if record.result is None:
            raise InvalidRequest("id", "Piece {id} was never finished, so it cannot be rated.", id=record.id)
        await self._history.write(
            "INSERT INTO ratings (request_id, person, coherence, repetition, atmosphere, fit, created_at) "
            "VALUES (:id, :person, :coherence, :repetition, :atmosphere, :fit, :now) "
            "ON CONFLICT (request_id, person) DO UPDATE SET coherence = :coherence, repetition = :repetition, "
            "atmosphere = :atmosphere, fit = :fit, created_at = :now",
            {
                "id": record.id,
                "person": by.person,
                "now": self._history.now_text(),
                **{scale: getattr(rating, scale) for scale in SCALES},
            },
        )

    async def stats(self) -> list[CheckpointRatings]:
        """Each checkpoint's ratings, the most rated first.

        Somebody who rates much counts once: the interval is that of the raters' own means (Student's t), because the
        ratings of one person are not independent of each other.
        """
        rows = await self._history.rows(
            "SELECT checkpoint_id, ratings.* FROM ratings JOIN results ON results.request_id = ratings.request_id", {}
        )
        by_checkpoint = defaultdict(list)
        for row in rows:
            by_checkpoint[row["checkpoint_id"]].append(row)
        stats = []
        for checkpoint_id, given in by_checkpoint.items():
            means = {}
            for scale in SCALES:
                of_rater = defaultdict(list)
                for row in given:
                    of_rater[row["person"]].append(float(row[scale]))
                means[scale] = _mean([sum(values) / len(values) for values in of_rater.values()])
            raters = len({row["person"] for row in given})
            pieces = len({row["request_id"] for row in given})
            stats.append(CheckpointRatings(checkpoint_id, len(given), raters, pieces, means))
        return sorted(stats, key=lambda each: (-each.ratings, each.checkpoint_id))


def _mean(values: list[float]) -> Mean:
    """Mean and 95 % margin `t(0.975, n-1) * s / sqrt(n)` of independent values."""
    n = len(values)
    mean = sum(values) / n
    if n < 2:
        return Mean(mean, None)
    from scipy.special import stdtrit  # noqa: PLC0415 - a tenth of a second that only the statistics need

    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    return Mean(mean, float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n))
