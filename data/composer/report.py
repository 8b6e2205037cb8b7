"""Measure a sample of the composer's pieces: do the moods differ, do pieces differ, do they end, how fast is it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from data.attributes import Attributes, attributes
from data.composer.checks import ends_well, longest_silence_s
from data.composer.corpus import compose_corpus
from data.composer.piece import OwnPiece
from data.composer.variety import HUMAN_SHARE_MAX, HUMAN_SHARE_P999, Sharing, sharing
from data.mood_estimate import estimate_mood
from data.moods import MOODS, Mood
from data.similarity import fingerprint

# Columns of the table of moods: heading, attribute of data.attributes, decimals.
_COLUMNS = (
    ("tempo", "tempo_bpm", 0),
    ("notes/s", "notes_per_second", 1),
    ("pitch", "pitch_mean", 1),
    ("velocity", "velocity_mean", 0),
    ("dissonance", "dissonance", 2),
    ("voices", "polyphony", 1),
    ("major", "majorness", 2),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured over a sample."""

    pieces: tuple[OwnPiece, ...]
    found: tuple[Attributes, ...]  # of each piece
    sharing: Sharing
    ending_share: float  # of pieces with a long final sonority
    longest_silence_s: float  # of any piece
    elapsed_s: float  # for composing

    @property
    def notes(self) -> int:
        """Notes of all pieces."""
        return sum(len(piece.score.notes) for piece in self.pieces)


def measure(count: int, seed: int, workers: int, scale: float = 1.0) -> Report:
    """Compose a corpus and measure it; arguments as for `compose_corpus`."""
    started = time.perf_counter()
    pieces = tuple(compose_corpus(count, seed, workers, scale))
    elapsed_s = time.perf_counter() - started
    return Report(
        pieces,
        tuple(attributes(piece.score) for piece in pieces),
        sharing([fingerprint(piece.score) for piece in pieces]),
        sum(ends_well(piece.score) for piece in pieces) / len(pieces),
        max(longest_silence_s(piece.score) for piece in pieces),
        elapsed_s,
    )


def show(report: Report, console: Console) -> None:
    """Print the report as tables."""
    lengths = [len(piece.score.notes) for piece in report.pieces]
    console.print(
        f"{len(report.pieces):,} pieces, {report.notes:,} notes ({min(lengths)} to {max(lengths)} a piece), "
        f"composed in {report.elapsed_s:.1f} s.\n"
        f"{report.ending_share:.1%} end on a long final sonority; longest silence {report.longest_silence_s:.1f} s.\n"
        f"Shared 8-interval n-grams over {report.sharing.pairs:,} pairs: at most {report.sharing.maximum:.4f} "
        f"(human {HUMAN_SHARE_MAX}), 99.9th percentile {report.sharing.p999:.4f} (human {HUMAN_SHARE_P999})."
    )
    table = Table(title="Median (10th to 90th percentile) by mood")
    table.add_column("mood")
    for heading, _, _ in _COLUMNS:
        table.add_column(heading, justify="right")
    table.add_column("valence, arousal", justify="right")
    for mood in MOODS:
        table.add_row(str(mood), *_cells(report, mood))
    console.print(table)
    for heading, counts in (
        ("Forms", Counter(piece.form for piece in report.pieces)),
        ("Modes", Counter(piece.mode for piece in report.pieces)),
        ("Endings", Counter(piece.ending for piece in report.pieces)),
    ):
        console.print(f"{heading}: " + ", ".join(f"{name} {number}" for name, number in counts.most_common()))


def _cells(report: Report, mood: Mood) -> list[str]:
    """One line of the table; valence and arousal as `data.mood_estimate` finds them, which knows nothing of styles."""
    chosen = [number for number, piece in enumerate(report.pieces) if piece.mood is mood]
    if not chosen:
        return []
    cells = []
    for _, name, decimals in _COLUMNS:
        low, middle, high = np.quantile([getattr(report.found[number], name) for number in chosen], (0.1, 0.5, 0.9))
        cells.append(f"{middle:.{decimals}f} ({low:.{decimals}f} to {high:.{decimals}f})")
    places = [estimate_mood(report.pieces[number].score) for number in chosen]
    valence = float(np.mean([place.valence for place in places]))
    arousal = float(np.mean([place.arousal for place in places]))
    return [*cells, f"{valence:+.2f}, {arousal:+.2f}"]
