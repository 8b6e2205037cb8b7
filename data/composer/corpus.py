"""Many pieces: composed in a pool of processes, written as MIDI files with a catalogue that the importer reads."""

from __future__ import annotations

import csv
import hashlib
import io
import multiprocessing
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from data.catalogue import write_atomically
from data.composer.piece import OwnPiece, compose_piece
from data.midi import write_midi
from data.moods import MOODS

SOURCE = "own"
COMPOSER = "MusicLSTM composer"
LICENCE = "CC0-1.0"
COLUMNS = ("source", "file", "title", "composer", "licence", "sha256", "mood")
_CHUNK = 8  # pieces that a process takes at a time: two rounds of moods would leave the last ones waiting

T = TypeVar("T")
Job = tuple[int, int, float]  # corpus seed, number of the piece, scale of its duration


def piece_seed(corpus_seed: int, number: int) -> int:
    """The seed of one piece of a corpus, so that any of them can be composed alone."""
    return int(np.random.SeedSequence((corpus_seed, number)).generate_state(1, np.uint64)[0])


def compose_corpus(count: int, seed: int, workers: int, scale: float = 1.0) -> Iterator[OwnPiece]:
    """Compose pieces, the moods taking turns.

    Args:
        count: how many pieces.
        seed: of the corpus, from 0. A longer corpus of the same seed begins with the same pieces.
        workers: processes; 1 composes in this one. The result does not depend on it. With more, the calling script
            needs the usual `if __name__ == "__main__":`, since the processes are spawned.
        scale: see `compose_piece`.

    Yields:
        the pieces in order.
    """
    yield from _spread(_compose, [(seed, number, scale) for number in range(count)], workers)


def write_corpus(
    folder: Path,
    count: int,
    seed: int,
    workers: int,
    progress: Callable[[int], None] | None = None,
    *,
    scale: float = 1.0,
) -> None:
    """Compose pieces and write them as MIDI files, then `catalogue.tsv` beside them.

    Args:
        folder: made where it is missing.
        count: how many pieces.
        seed: of the corpus, as for `compose_corpus`.
        workers: processes.
        progress: called with the number of pieces written so far.
        scale: see `compose_piece`.

    Raises:
        CorpusProblem: the disk is full or the folder cannot be written.
    """
    rows = []
    jobs = [(seed, number, scale) for number in range(count)]
    for number, (row, content) in enumerate(_spread(_written, jobs, workers)):
        write_atomically(folder / row["file"], content)
        rows.append(row)
        if progress is not None:
            progress(number + 1)
    buffer = io.StringIO()
    table = csv.DictWriter(buffer, COLUMNS, delimiter="\t", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(folder / "catalogue.tsv", buffer.getvalue().encode())


def _spread(work: Callable[[Job], T], jobs: Sequence[Job], workers: int) -> Iterator[T]:
    """The results of the jobs in order, from this process or from several."""
    if workers <= 1 or len(jobs) <= _CHUNK:
        yield from map(work, jobs)
        return
    # Spawned, not forked: a forked child of a process with threads (torch, an event loop) can hang on their locks.
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield from pool.map(work, jobs, chunksize=_CHUNK)
    finally:
        pool.shutdown(cancel_futures=True)


def _compose(job: Job) -> OwnPiece:
    corpus_seed, number, scale = job
    return compose_piece(piece_seed(corpus_seed, number), MOODS[number % len(MOODS)], scale)


def _written(job: Job) -> tuple[dict[str, str], bytes]:
    """One piece as a line of the catalogue and its MIDI file."""
    corpus_seed, number, _ = job
    piece = _compose(job)
    about = (
        f"mood {piece.mood}, {piece.mode} on {piece.key}, form {piece.form}, corpus seed {corpus_seed}, no. {number}"
    )
    content = write_midi(piece.score, title=piece.title, texts=(f"{COMPOSER}, {LICENCE}", about))
    slug = re.sub(r"[^a-z0-9]+", "-", piece.title.lower()).strip("-")
    row = {
        "source": SOURCE,
        "file": f"{number:05d}-{piece.mood}-{slug}.mid",
        "title": piece.title,
        "composer": COMPOSER,
        "licence": LICENCE,
        "sha256": hashlib.sha256(content).hexdigest(),
        "mood": str(piece.mood),
    }
    return row, content
