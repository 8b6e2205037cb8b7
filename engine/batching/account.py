"""What the host knows of slots that something else steps, without asking it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


class Account:
    """How many notes each slot has and is to have. See `engine.batching.slots.Slots` for what is public.

    Args:
        count: how many slots there are.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._at = np.zeros(count, np.int64)
        self._end = np.zeros(count, np.int64)
        self._stop = np.zeros(count, np.bool_)

    def _begins(self, slot: int, notes: int) -> None:
        self._at[slot], self._end[slot], self._stop[slot] = 0, notes, False

    def _stopped(self) -> npt.NDArray[np.int64]:
        """[n] slots that were stopped since this was asked last: no more will be written in them."""
        stopped = np.flatnonzero(self._stop & (self._at < self._end))
        self._end[stopped] = self._at[stopped]
        return stopped

    def stop(self, slot: int) -> None:
        """See `engine.batching.slots.Slots`: seen at the next call of `run`."""
        self._stop[slot] = True

    def finished(self) -> npt.NDArray[np.bool_]:
        """See `engine.batching.slots.Slots`."""
        return (self._at >= self._end) | self._stop

    def written(self, slot: int) -> int:
        """See `engine.batching.slots.Slots`."""
        return int(self._at[slot])
