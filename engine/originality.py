"""How original a piece is: what it shares with the music that a checkpoint was trained on.

A piece is read as lines: the whole texture, and of each part all notes and the melody. A line is a chain of intervals,
each a pitch interval and the class of the ratio of its inter-onset time to the one before, so that neither
transposition, nor another tempo, nor another sound hides a copy. What is looked up are runs of eight such intervals
(n-grams), after Yin, Reuben, Stepney & Collins 2022, "Measuring when a music generation algorithm copies too much".

The texture finds a copied page, the notes of a part a copied accompaniment under another tune, the melody a
copied tune over another accompaniment. Part.PULSE is left out: a drum pattern is nobody's.

Two figures answer "is it a copy?". The share counts all distinct n-grams of all lines. The longest run looks for one
stretch out of one piece; in it, n-grams count only when they say something: not what three authors or more have
written (idiom), nor what has fewer than four different pitch intervals (scales, trills, repeated notes).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from data.score import Part, Score
from data.tokens import decode, encode
from engine.checkpoint import write_atomically
from engine.errors import CheckpointProblem, SetupProblem, StorageProblem
from engine.types import Originality

FILE = "originality.safetensors"
NGRAM_INTERVALS = 8
IDIOM_AUTHORS = 3  # what so many have written belongs to nobody
TELLING_INTERVALS = 4
# Measured over 375 pieces by 65 people (docs/evaluation); for corpora too small to have a percentile of their own.
USUAL_HUMAN_P95 = 0.062

_RATIO_CLASSES = 6  # half octaves either way: 2:1 is two classes away from 1:1, and the rounding of a grid is forgiven
_MIX = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: odd, mixes well (Steele et al. 2014)
PIECES_MAX = 1 << 16  # an index numbers its pieces with sixteen bits
_BUCKETS = 1 << 16

Uints = npt.NDArray[np.uint32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Runs:
    """The n-grams of one line, in order.

    Attributes:
        hashes: [N] uint32.
        telling: [N] bool, enough different intervals to be more than a scale or a repeated note.
    """

    hashes: Uints
    telling: Bools


@dataclass(frozen=True, slots=True)
class Source:
    """A training piece as the index names it.

    Attributes:
        title: as people are told it.
        author: pieces of one author are one voice when idioms are counted.
    """

    title: str
    author: str


def lines(score: Score) -> Iterator[Ints]:
    """The lines of a score, each [N, 2] int64 of onset and pitch in ascending order."""
    notes = [note for note in score.notes if note.part is not Part.PULSE]
    # [N, 4]: onset, pitch, end, part
    rows = np.array([(n.start_step, n.pitch, n.end_step, n.part) for n in notes], dtype=np.int64).reshape(-1, 4)
    rows = rows[np.lexsort((rows[:, 1], rows[:, 0]))]
    yield rows[:, :2]
    parts = np.unique(rows[:, 3])
    for part in parts:
        own = rows[rows[:, 3] == part]
        if len(parts) > 1:
            yield own[:, :2]
        melody = _melody(own)
        if len(melody) < len(own):
            yield melody


def _melody(rows: Ints) -> Ints:
    """The notes with nothing higher sounding (Uitdenbogerd & Zobel 1998). [N, >= 3] sorted -> [M, 2]."""
    kept: list[tuple[int, int]] = []
    sounding: list[tuple[int, int]] = []  # (pitch, end)
    for onset, pitch, end in rows[np.lexsort((-rows[:, 1], rows[:, 0])), :3].tolist():  # highest first
        sounding = [(other, until) for other, until in sounding if until > onset]
        if all(other < pitch for other, _ in sounding):
            kept.append((onset, pitch))
        sounding.append((pitch, end))
    return np.array(kept, dtype=np.int64).reshape(-1, 2)


def runs(line: Ints) -> Runs:
    """The n-grams of a line ([N, 2] int64); N - 8 of them, none for fewer than nine notes."""
    count = len(line) - NGRAM_INTERVALS
    if count < 1:
        return Runs(np.zeros(0, np.uint32), np.zeros(0, np.bool_))
    onset, pitch = line.T
    gap, interval = np.diff(onset), np.diff(pitch)  # [N - 1]
    moving = np.maximum.accumulate(np.where(gap > 0, np.arange(len(gap)), -1))  # the last gap that was not zero, so far
    before = np.concatenate([[-1], moving[:-1]])
    ratio = np.round(2 * np.log2(np.maximum(gap, 1) / np.maximum(gap[before], 1))).clip(-_RATIO_CLASSES, _RATIO_CLASSES)
    ratio[before < 0] = 0
    together = gap == 0
    ratio[together] = -_RATIO_CLASSES - 1  # a class of its own
    symbols = _symbols(interval, ratio)
    # Where a run begins, the time before it is no part of it.
    first = _symbols(interval, np.where(together, ratio, 0))
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(NGRAM_INTERVALS):
        hashes = (hashes + (symbols if offset else first)[offset : offset + count]) * _MIX
        hashes ^= hashes >> np.uint64(29)
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(interval, NGRAM_INTERVALS), axis=1)  # [N - 8, 8]
    different = 1 + (np.diff(windows, axis=1) != 0).sum(axis=1)
    return Runs((hashes >> np.uint64(32)).astype(np.uint32), different >= TELLING_INTERVALS)


def _symbols(interval: Ints, ratio: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    return ((ratio.astype(np.int64) + _RATIO_CLASSES + 1) * 256 + interval + 129).astype(np.uint64)


def all_runs(score: Score) -> list[Runs]:
    """The n-grams of each line, on the time grid of the tokens, so that its rounding hides no copy."""
    return [runs(line) for line in lines(decode(encode(score), score.tempo_bpm))]


def distinct(found: Sequence[Runs]) -> Uints:
    """The different n-grams of some lines, ascending."""
    return np.unique(np.concatenate([line.hashes for line in found])) if found else np.zeros(0, np.uint32)


class Index:
    """The n-grams of a training corpus, and who wrote them.

    Two different n-grams have the same 32 bits once in 4.3e9 pairs: one lookup in two thousand errs in an index of two
    million, and never several in a row.

    Args:
        hashes: [N] uint32, ascending; one entry for each piece that has the n-gram.
        owners: [N] uint16, the piece of each entry.
        sources: the pieces.
        human_p95: see `Originality`.
    """

    def __init__(
        self, hashes: Uints, owners: npt.NDArray[np.uint16], sources: Sequence[Source], human_p95: float
    ) -> None:
        self.hashes, self.owners, self.sources, self.human_p95 = hashes, owners, tuple(sources), human_p95
        authors = {source.author: number for number, source in enumerate(self.sources)}
        self._author_of = np.array([authors[source.author] for source in self.sources], dtype=np.int64)  # [P]

    @classmethod
    def of(cls, pieces: Sequence[Sequence[Runs]], sources: Sequence[Source], human_p95: float) -> Index:
        """An index of pieces, given as `all_runs` of each, with their names in the same order."""
        grams = [distinct(piece) for piece in pieces]
        hashes = np.concatenate([np.zeros(0, np.uint32), *grams])
        owners = np.repeat(np.arange(len(grams)), [len(gram) for gram in grams]).astype(np.uint16)
        order = np.lexsort((owners, hashes))
        return cls(hashes[order], owners[order], sources, human_p95)

    def joined(self, other: Index) -> Index:
        """An index of the pieces of both, for a model that learnt both; the stricter percentile holds.

        Raises:
            SetupProblem: they have more pieces than an index numbers.
        """
        own = set(self.sources)
        known = np.array([source in own for source in other.sources], dtype=np.bool_)
        if len(self.sources) + int((~known).sum()) > PIECES_MAX:
            raise SetupProblem(f"Both have learnt more than {PIECES_MAX:,} pieces: take fewer.")
        numbers = np.cumsum(~known) - 1 + len(self.sources)  # of the new pieces
        new = ~known[other.owners]
        hashes = np.concatenate([self.hashes, other.hashes[new]])
        owners = np.concatenate([self.owners, numbers[other.owners[new]].astype(np.uint16)])
        order = np.lexsort((owners, hashes))
        added = [source for source, old in zip(other.sources, known, strict=True) if not old]
        percentile = min(self.human_p95, other.human_p95)
        return Index(hashes[order], owners[order], [*self.sources, *added], percentile)

    def check(self, score: Score) -> Originality:
        """Compare a piece with the corpus; a few milliseconds."""
        return self.check_runs(all_runs(score))

    def check_runs(self, found: Sequence[Runs], *, without_author: str | None = None) -> Originality:
        """Compare a piece, given as `all_runs`, with the corpus.

        Args:
            found: the n-grams of its lines.
            without_author: whose pieces do not count, so that a piece of the corpus can be compared with the rest.
        """
        grams = distinct(found)  # [G]
        if not len(grams):
            return Originality(0.0, 0, None, self.human_p95)
        row, entry = _spread(*(np.searchsorted(self.hashes, grams, side) for side in ("left", "right")))
        owner = self.owners[entry].astype(np.int64)  # [pairs], each of n-gram `row` and a piece that has it
        if without_author is not None:
            others = np.array([source.author != without_author for source in self.sources])[owner]
            row, owner = row[others], owner[others]
        if not len(row):
            return Originality(0.0, 0, None, self.human_p95)
        voices = np.unique(row * len(self.sources) + self._author_of[owner]) // len(self.sources)
        idiom = np.bincount(voices, minlength=len(grams)) >= IDIOM_AUTHORS  # [G]
        starts = np.searchsorted(row, np.arange(len(grams) + 1))  # [G + 1]: row is ascending
        longest = max(self._longest(line, grams, starts, owner, idiom) for line in found)
        closest = int(np.argmax(np.bincount(owner)))
        return Originality(
            float(len(np.unique(row)) / len(grams)), longest, self.sources[closest].title, self.human_p95
        )

    @staticmethod
    def _longest(line: Runs, grams: Uints, starts: Ints, owner: Ints, idiom: Bools) -> int:
        """Notes of the longest stretch of a line that stands in one piece; 0 for none."""
        row = np.searchsorted(grams, line.hashes)  # [N]
        at = np.flatnonzero(line.telling & ~idiom[row])
        position, pair = _spread(starts[row[at]], starts[row[at] + 1])
        # Places in order within each piece: a stretch is where they go up one by one.
        places = np.sort(owner[pair] * (len(row) + 1) + at[position])
        if not len(places):
            return 0
        breaks = np.flatnonzero(np.diff(places) != 1)
        lengths = np.diff(np.concatenate([[-1], breaks, [len(places) - 1]]))
        return int(lengths.max()) + NGRAM_INTERVALS

    def as_bytes(self) -> bytes:
        """The content of its file: 4 bytes an entry and 256 KiB."""
        # Sorted, so that of each n-gram only the lower half is written, and how many there are with each upper half.
        tensors: dict[str, npt.NDArray[Any]] = {
            "counts": np.bincount(self.hashes >> 16, minlength=_BUCKETS).astype(np.uint32),
            "low": (self.hashes & 0xFFFF).astype(np.uint16),
            "owners": self.owners,
        }
        about = {
            "human_p95": repr(self.human_p95),
            "sources": json.dumps([[source.title, source.author] for source in self.sources], ensure_ascii=False),
        }
        return save(tensors, about)

    def save(self, folder: Path) -> None:
        """Write the index beside a checkpoint, atomically.

        Raises:
            StorageProblem: the disk is full or read-only; an older index is intact.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically({folder / FILE: self.as_bytes()})
        except OSError as error:
            raise StorageProblem(
                f"The originality index could not be written to {folder}: {error.strerror}."
            ) from error

    @classmethod
    def load(cls, folder: Path) -> Index | None:
        """The index of a checkpoint, or None where it ships without one.

        Raises:
            CheckpointProblem: the file is damaged.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata()
                counts, low, owners = (file.get_tensor(name) for name in ("counts", "low", "owners"))
            sources = [Source(title, author) for title, author in json.loads(about["sources"])]
            human_p95 = float(about["human_p95"])
            high = np.repeat(np.arange(_BUCKETS, dtype=np.uint32), counts)
            hashes = (high << 16) | low
            _check_whole(hashes, owners, len(sources), human_p95)
            return cls(hashes, owners, sources, human_p95)
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise CheckpointProblem(f"{path} is damaged: restore it, or delete it to compose without it.") from error


def _check_whole(hashes: Uints, owners: npt.NDArray[np.uint16], pieces: int, human_p95: float) -> None:
    """Raises ValueError where the parts of an index do not belong together."""
    if not (
        hashes.dtype == np.uint32
        and owners.dtype == np.uint16
        and len(hashes) == len(owners)
        and (hashes[1:] >= hashes[:-1]).all()
        and owners.max(initial=0) < max(1, pieces)
        and 0.0 <= human_p95 <= 1.0
    ):
        raise ValueError("an index whose parts do not belong together")


def _spread(starts: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """Every number of every range [start, end), each with its range's index."""
    sizes = ends - starts
    index = np.repeat(np.arange(len(sizes)), sizes)
    within = np.arange(len(index)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return index, starts[index] + within
