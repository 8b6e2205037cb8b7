"""The originality index of a training corpus, and how much human pieces share with each other's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.composer.corpus import SOURCE
from data.corpus import Piece
from engine.originality import USUAL_HUMAN_P95, Index, Source, all_runs
from engine.types import Originality

_ENOUGH_PIECES = 40  # for a 95th percentile that is more than the second largest value


def build_index(pieces: Sequence[Piece]) -> Index:
    """Index the pieces that a model was trained on.

    The human 95th percentile is that of its human pieces, each compared with those of all other authors; a corpus with
    fewer than 40 pieces by two or more people takes the usual value.

    Args:
        pieces: the training side of a corpus, at most 65,536.
    """
    index = Index.of([all_runs(piece.score) for piece in pieces], [source_of(piece) for piece in pieces], 1.0)
    human = [piece for piece in pieces if piece.source != SOURCE]
    enough = len(human) >= _ENOUGH_PIECES and len({source_of(piece).author for piece in human}) > 1
    shares = [found.copied_share for found in leave_one_author_out(index, human)] if enough else []
    p95 = float(np.percentile(shares, 95)) if shares else USUAL_HUMAN_P95
    return Index(index.hashes, index.owners, index.sources, p95)


def leave_one_author_out(index: Index, pieces: Sequence[Piece]) -> list[Originality]:
    """Compare each piece with what the index has by other authors."""
    return [index.check_runs(all_runs(piece.score), without_author=source_of(piece).author) for piece in pieces]


def source_of(piece: Piece) -> Source:
    """How the index names a piece. A piece of the project's own composer, or of nobody known, is its own author."""
    if piece.source == SOURCE:
        return Source(f"{piece.title} (own)", piece.sha256)
    if piece.composer == "Anonymous":
        return Source(f"{piece.title} ({piece.source})", piece.sha256)
    return Source(f"{piece.title} by {piece.composer} ({piece.source})", piece.composer)
