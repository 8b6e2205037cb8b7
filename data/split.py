"""Split a corpus so that no person's music stands on two sides: what is measured was never learnt by heart."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.composers import persons

if TYPE_CHECKING:
    from data.corpus import Piece


@dataclass(frozen=True, slots=True)
class Split:
    """Three sides that share no person. Each keeps the order of the corpus."""

    train: list[Piece]
    valid: list[Piece]
    test: list[Piece]


def split_by_composer(
    pieces: Sequence[Piece], *, valid_share: float = 0.08, test_share: float = 0.08, seed: int = 0
) -> Split:
    """Divide a corpus by composer, the same way for the same pieces, whatever their order.

    Pieces that share any person, however it is spelt, form a group; pieces by nobody known form one with those of the
    same source and title. In each source, groups are dealt to `valid` and `test` in an order drawn from the seed and
    their names, until their share of that source's notes is reached; so both hold music of each source that has groups
    to spare. A group is never cut, hence a source by one person is trained on whole. Pieces that are added
    later leave most groups where they were.

    Args:
        pieces: of any order.
        valid_share: notes to measure with while training, as a share of each source, 0 to 0.5.
        test_share: notes to measure with once, at the end.
        seed: another seed gives another division.

    Returns:
        train, valid and test; the last two may be empty where there are fewer than three groups.
    """
    sources: dict[str, list[list[Piece]]] = defaultdict(list)
    for group in _groups(pieces):
        notes_by_source: Counter[str] = Counter()
        for piece in group:
            notes_by_source[piece.source] += len(piece.score.notes)
        # A group of several sources counts for the one that has most of its notes.
        sources[max(notes_by_source, key=lambda source: (notes_by_source[source], source))].append(group)
    side_of: dict[str, str] = {}
    for groups in sources.values():
        groups.sort(key=lambda group: _lot(seed, group))
        total = sum(map(_notes, groups))
        for side, taken in _deal(groups, {"test": test_share * total, "valid": valid_share * total}).items():
            side_of.update({piece.sha256: side for group in taken for piece in group})
    sides: dict[str, list[Piece]] = {"train": [], "valid": [], "test": []}
    for piece in pieces:
        sides[side_of.get(piece.sha256, "train")].append(piece)
    return Split(**sides)


def _groups(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Pieces that share a person, directly or through others (union-find over the persons)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first_keys = []
    for piece in pieces:
        keys = sorted(persons(piece.composer, piece.title)) or [f"\t{piece.source}\t{piece.title.casefold()}"]
        first_keys.append(keys[0])
        for key in keys:
            parent[root(key)] = root(keys[0])
    groups: dict[str, list[Piece]] = defaultdict(list)
    for piece, key in zip(pieces, first_keys, strict=True):
        groups[root(key)].append(piece)
    return list(groups.values())


def _notes(group: Sequence[Piece]) -> int:
    return sum(len(piece.score.notes) for piece in group)


def _lot(seed: int, group: Sequence[Piece]) -> str:
    """A random-looking place in the queue that depends only on the seed and on what is in the group."""
    name = min("\t".join(sorted(persons(piece.composer, piece.title))) or piece.title for piece in group)
    return hashlib.sha256(f"{seed}\t{name}".encode()).hexdigest()


def _deal(groups: Sequence[list[Piece]], budgets_notes: dict[str, float]) -> dict[str, list[list[Piece]]]:
    """Deal groups in their order, each to the side with most room if it fits there; the rest stays undealt.

    A side that nothing fits into gets the smallest group that is left, as long as one is left for training.
    """
    room = {side: budget for side, budget in budgets_notes.items() if budget > 0}
    dealt: dict[str, list[list[Piece]]] = {side: [] for side in room}
    left: list[list[Piece]] = []
    for group in groups:
        side = max(room, key=room.__getitem__, default=None)
        if side is not None and _notes(group) <= room[side]:
            dealt[side].append(group)
            room[side] -= _notes(group)
        else:
            left.append(group)
    left.sort(key=_notes, reverse=True)
    for taken in dealt.values():
        if not taken and len(left) > 1:
            taken.append(left.pop())
    return dealt
