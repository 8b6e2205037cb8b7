"""The originality index of a training corpus, and how much human pieces share with each other's.

Training writes the index by itself; `python -m trainer.originality CHECKPOINT --corpus DIR` adds one to a
checkpoint that has none.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data.composer.corpus import SOURCE
from data.corpus import DEFAULT_FOLDER, Piece, corpus_hash, load_corpus
from data.errors import MusicLSTMError
from data.split import split_by_composer
from engine.checkpoint import load_checkpoint
from engine.errors import SetupProblem
from engine.originality import USUAL_HUMAN_P95, Index, Source, all_runs
from engine.types import Originality

_KNOWN_SHARE = 0.5  # of its runs: a piece that is in the index shares all, of 732 held-out ones none more than 0.29
_ENOUGH_PIECES = 40  # for a 95th percentile that is more than the second largest value


def build_index(pieces: Sequence[Piece]) -> Index:
    """Index the pieces that a model was trained on.

    The human 95th percentile is that of its human pieces, each compared with those of all other authors; a corpus with
    fewer than 40 pieces by two or more people takes the usual value.

    Args:
        pieces: the training side of a corpus, at most PIECES_MAX.
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


def known(index: Index, pieces: Sequence[Piece]) -> int:
    """How many of some pieces are in an index, under whatever title."""
    return sum(index.check(piece.score).copied_share > _KNOWN_SHARE for piece in pieces)


def source_of(piece: Piece) -> Source:
    """How the index names a piece. A piece of the project's own composer, or of nobody known, is its own author."""
    if piece.source == SOURCE:
        return Source(f"{piece.title} (own)", piece.sha256)
    if piece.composer == "Anonymous":
        return Source(f"{piece.title} ({piece.source})", piece.sha256)
    return Source(f"{piece.title} by {piece.composer} ({piece.source})", piece.composer)


def check_learnt(checkpoint: Path, corpus: Path, pieces_hash: str, start: Path | None) -> None:
    """Make sure that a checkpoint is described and indexed by the music that it has learnt.

    Args:
        checkpoint: its folder.
        corpus: the folder that it is said to have been trained on.
        pieces_hash: `corpus_hash` of what is in there.
        start: the folder of the checkpoint that it is said to have been fine-tuned from.

    Raises:
        SetupProblem: it was trained on another corpus, or began with other weights.
        CheckpointProblem: one of the checkpoints is missing or damaged.
    """
    about = load_checkpoint(checkpoint).sidecar
    if about["corpus"].get("hash") != pieces_hash:
        raise SetupProblem(f"{checkpoint} was not trained on the corpus in {corpus} as it is now: name the right one.")
    named = load_checkpoint(start).id if start else None
    began_with = about.get("training", {}).get("from", named)
    if began_with is None and named:
        raise SetupProblem(f"{checkpoint} was not fine-tuned from another checkpoint: leave --from out.")
    if began_with != named:
        raise SetupProblem(f"{checkpoint} was fine-tuned from {began_with}: name its folder with --from.")


def add_index(checkpoint: Path, corpus: Path, start: Path | None = None) -> Index:
    """Write the index of a checkpoint's training side beside it, and of what the checkpoint `start` had learnt before.

    Raises:
        MusicLSTMError: one of them is missing or damaged, or not what the checkpoint was trained on or fine-tuned from.
    """
    pieces = load_corpus(corpus)
    check_learnt(checkpoint, corpus, corpus_hash(pieces), start)
    index = build_index(split_by_composer(pieces).train)
    before = Index.load(start) if start else None
    if before is not None:
        index = before.joined(index)
    index.save(checkpoint)
    return index


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    parser = argparse.ArgumentParser(
        prog="python -m trainer.originality", description="Add the originality index to a checkpoint that has none."
    )
    parser.add_argument("checkpoint", type=Path, help="its folder")
    parser.add_argument(
        "--corpus", type=Path, default=DEFAULT_FOLDER, help=f"what it learnt (default: {DEFAULT_FOLDER})"
    )
    parser.add_argument("--from", dest="start", type=Path, help="the checkpoint that it was fine-tuned from")
    arguments = parser.parse_args(argv)
    log = logging.getLogger("trainer.originality")
    try:
        index = add_index(arguments.checkpoint, arguments.corpus, arguments.start)
    except MusicLSTMError as error:
        log.error("%s", error)  # noqa: TRY400  # one sentence; the traceback helps nobody here
        return 1
    log.info("%d pieces, %d runs; human 95th percentile %.3f", len(index.sources), len(index.hashes), index.human_p95)
    return 0


if __name__ == "__main__":
    sys.exit(main())
