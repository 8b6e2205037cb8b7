"""Split a corpus so that no person's music stands on two sides: what is measured was never learnt by heart."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.composers import persons

if TYPE_CHECKING:
    from data.corpus import Piece


@dataclass(frozen=True, slots=True)
class Split:
    """Three sides that share no person; if `by_title`, no title. Each keeps the order of the corpus."""

    train: list[Piece]
    valid: list[Piece]
    test: list[Piece]
    by_title: bool = False


def split_by_composer(
    pieces: Sequence[Piece], *, valid_share: float = 0.08, test_share: float = 0.08, seed: int = 0
) -> Split:
    """Divide a corpus by composer, the same way for the same pieces, whatever their order.

    Pieces that share any person, however it is spelt, form a group; pieces by nobody known form one with those of the
    same source and title. In each source, groups are dealt to `valid` and `test` in an order drawn from the seed and
    their names, until their share of that source's notes is reached; so both hold music of each source that has groups
    to spare. A group is never cut, hence a source by one person is trained on whole. Pieces that are added
    later leave most groups where they were.

    Where a side would be empty so, as in a small corpus, all sources are dealt as one; and where they are by fewer than
    three people, as one person's own pieces are, by title.

    Args:
        pieces: of any order.
        valid_share: notes to measure with while training, as a share of each source, 0 to 0.5.
        test_share: notes to measure with once, at the end.
        seed: another seed gives another division.

    Returns:
        train, valid and test; the last two may be empty where there are fewer than three groups of any kind.
    """
    shares = {"test": test_share, "valid": valid_share}

    def split(heaps: Sequence[list[list[Piece]]], name_of: Callable[[Piece], str], *, by_title: bool = False) -> Split:
        side_of: dict[str, str] = {}
        for groups in heaps:
            groups.sort(key=lambda group: _lot(seed, min(map(name_of, group))))
            total = sum(map(_notes, groups))
            for side, taken in _deal(groups, {side: share * total for side, share in shares.items()}).items():
                side_of.update({piece.sha256: side for group in taken for piece in group})
        sides: dict[str, list[Piece]] = {"train": [], "valid": [], "test": []}
        for piece in pieces:
            sides[side_of.get(piece.sha256, "train")].append(piece)
        return Split(**sides, by_title=by_title)

    def full(found: Split) -> bool:
        return all(getattr(found, side) for side, share in shares.items() if share > 0)

    people = _groups(pieces, _people)
    found = split(_by_source(people), _who)
    if not full(found):
        found = split([people], _who)
    if not full(found):
        by_title = split([_groups(pieces, lambda piece: [_title(piece)])], _title, by_title=True)
        found = by_title if full(by_title) else found
    return found


def _people(piece: Piece) -> list[str]:
    """What pieces of one group share: a person, or where nobody is known the title."""
    return sorted(persons(piece.composer, piece.title)) or [_title(piece)]


def _title(piece: Piece) -> str:
    return f"\t{piece.source}\t{piece.title.casefold()}"


def _who(piece: Piece) -> str:
    return "\t".join(sorted(persons(piece.composer, piece.title))) or piece.title


def _by_source(groups: Sequence[list[Piece]]) -> list[list[list[Piece]]]:
    """The groups of each source; one of several counts for that which has most of its notes."""
    sources: dict[str, list[list[Piece]]] = defaultdict(list)
    for group in groups:
        notes: Counter[str] = Counter()
        for piece in group:
            notes[piece.source] += len(piece.score.notes)
        sources[max(notes, key=lambda source: (notes[source], source))].append(group)
    return list(sources.values())


def _groups(pieces: Sequence[Piece], keys_of: Callable[[Piece], list[str]]) -> list[list[Piece]]:
    """Pieces that share a key, directly or through others (union-find over the keys)."""
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    first_keys = []
    for piece in pieces:
        keys = keys_of(piece)
        first_keys.append(keys[0])
        for key in keys:
            parent[root(key)] = root(keys[0])
    groups: dict[str, list[Piece]] = defaultdict(list)
    for piece, key in zip(pieces, first_keys, strict=True):
        groups[root(key)].append(piece)
    return list(groups.values())


def _notes(group: Sequence[Piece]) -> int:
    return sum(len(piece.score.notes) for piece in group)


def _lot(seed: int, name: str) -> str:
    """A random-looking place in the queue that depends only on the seed and on the name of the group."""
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
