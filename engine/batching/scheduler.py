"""Whose turn it is: deficit round robin over servers, and within each over its people (Shreedhar & Varghese 1995).

Each flow in turn is given a quantum of notes and takes the pieces that its saved quanta pay for. So whoever asks for a
hundred pieces, or for long ones, delays another's first by a piece and not by a hundred. A flow with nothing waiting
saves nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

_T = TypeVar("_T")

QUANTUM_NOTES = 16  # the shortest piece: nobody takes two in one turn


class Priority(IntEnum):
    """A piece is taken only when none of a higher priority waits. Lower numbers go first."""

    PERSON = 0  # somebody is looking at the screen
    BACKGROUND = 1  # evaluations, warm-ups, anything that nobody waits for


@dataclass(slots=True)
class _Flow(Generic[_T]):
    """Everybody, one server, or one person: either further flows or pieces."""

    deficit: int = 0  # notes that it may still take
    flows: dict[str, _Flow[_T]] = field(default_factory=dict)  # the first has the turn
    pieces: deque[tuple[int, _T]] = field(default_factory=deque)  # (notes, piece), oldest first

    def add(self, path: tuple[str, ...], notes: int, piece: _T) -> None:
        if path:
            self.flows.setdefault(path[0], _Flow()).add(path[1:], notes, piece)
        else:
            self.pieces.append((notes, piece))

    def front(self) -> tuple[int, _T]:
        """The piece whose turn it is, with its notes. Rounds in which nobody can pay are not walked but counted."""
        if self.pieces:
            return self.pieces[0]
        fronts = [(*flow.front(), name, flow) for name, flow in self.flows.items()]
        rounds = [max(0, -(-(notes - flow.deficit) // QUANTUM_NOTES)) for notes, _, _, flow in fronts]
        first = rounds.index(min(rounds))
        for at, (_, _, name, flow) in enumerate(fronts):
            if at < first:  # had its turn in the last round too, and stands behind the others now
                flow.deficit += (rounds[first] + 1) * QUANTUM_NOTES
                self.flows[name] = self.flows.pop(name)
            else:
                flow.deficit += rounds[first] * QUANTUM_NOTES
        return fronts[first][:2]

    def take(self) -> _T:
        if self.pieces:
            return self.pieces.popleft()[1]
        notes, _ = self.front()
        name, flow = next(iter(self.flows.items()))
        piece = flow.take()
        flow.deficit -= notes
        if not flow:
            del self.flows[name]
        return piece

    def discard(self, piece: _T) -> bool:
        for place, (_, waiting) in enumerate(self.pieces):
            if waiting is piece:
                del self.pieces[place]
                return True
        for name, flow in self.flows.items():
            if flow.discard(piece):
                if not flow:
                    del self.flows[name]
                return True
        return False

    def copy(self) -> _Flow[_T]:
        return _Flow(self.deficit, {name: flow.copy() for name, flow in self.flows.items()}, self.pieces.copy())

    def __bool__(self) -> bool:
        return bool(self.pieces or self.flows)


class FairQueue(Generic[_T]):
    """Pieces that wait, taken in fair order. Not for several threads."""

    def __init__(self) -> None:
        self._roots: dict[Priority, _Flow[_T]] = {priority: _Flow() for priority in Priority}
        self._count = 0

    def put(
        self, piece: _T, *, server: str = "", person: str = "", notes: int, priority: Priority = Priority.PERSON
    ) -> None:
        """Let a piece wait; of one person's pieces the oldest goes first.

        Args:
            piece: told from others by identity.
            server: whoever shares one share of the engine.
            person: within that server.
            notes: what it costs.
            priority: see `Priority`.
        """
        self._roots[priority].add((server, person), notes, piece)
        self._count += 1

    def take(self) -> _T:
        """Remove and return the piece whose turn it is.

        Raises:
            IndexError: nothing waits.
        """
        for priority in Priority:
            if self._roots[priority]:
                self._count -= 1
                return self._roots[priority].take()
        raise IndexError("nothing waits")

    def discard(self, piece: _T) -> None:
        """Remove a piece that is no longer wanted, if it still waits."""
        self._count -= sum(root.discard(piece) for root in self._roots.values())

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[_T]:
        """Everything that waits, in the order in which it will be taken if nothing more comes."""
        for priority in Priority:
            root = self._roots[priority].copy()
            while root:
                yield root.take()
