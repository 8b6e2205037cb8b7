"""How much of one piece is in another, whatever its key and tempo."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from data.score import Score

NGRAM_INTERVALS = 8  # nine notes: long enough that two pieces share few by chance
# Transposed and excerpted copies among 478 real files share 0.90 or more of the smaller one's runs; arrangements of one
# piece for other instruments at most 0.67, and unrelated pieces at most 0.2.
NEAR_DUPLICATE_SHARE = 0.8
# A piece of fewer runs, an ostinato, is in many others by chance; 32 notes in which nothing comes back have 23.
FEW_RUNS = 24


def fingerprint(score: Score) -> frozenset[int]:
    """The distinct runs of eight melodic steps, each a pitch interval and the ratio of its time to the one before.

    Transposing or stretching a piece changes nothing. Notes at one onset are taken from low to high.

    Returns:
        64-bit hashes; empty for a score of fewer than ten notes.
    """
    notes = sorted((note.start_step, note.pitch) for note in score.notes)
    if len(notes) < NGRAM_INTERVALS + 2:
        return frozenset()
    start, pitch = np.array(notes, dtype=np.int64).T
    intervals = np.diff(pitch)[1:]  # [N - 2]
    deltas = np.diff(start)
    # Ratio of neighbouring inter-onset times in 24ths of an octave of tempo; 0 steps (a chord) counts as its own class.
    logs = np.where(deltas > 0, np.round(24 * np.log2(np.maximum(deltas, 1))), -1000).astype(np.int64)
    ratios = np.diff(logs)
    # Mixed with odd multipliers, so that runs can be compared as numbers (overflow wraps, on purpose).
    symbols = (intervals * 2_654_435_761 + ratios * 40_503 + 97).astype(np.uint64)
    windows = np.lib.stride_tricks.sliding_window_view(symbols, NGRAM_INTERVALS)  # [N - 9, 8]
    powers = np.array([pow(0x9E3779B97F4A7C15, k, 2**64) for k in range(NGRAM_INTERVALS)], dtype=np.uint64)
    return frozenset(((windows ^ (windows >> np.uint64(29))) * powers).sum(axis=1, dtype=np.uint64).tolist())


class SimilarityIndex:
    """Finds which of many fingerprints shares the most with a new one, without comparing each pair."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._sizes: list[int] = []
        self._owners: dict[int, list[int]] = defaultdict(list)

    def add(self, name: str, runs: frozenset[int]) -> None:
        """Remember a piece under a name."""
        number = len(self._names)
        self._names.append(name)
        self._sizes.append(len(runs))
        for run in runs:
            self._owners[run].append(number)

    def nearest(self, runs: frozenset[int]) -> tuple[str, float]:
        """The piece that shares most, and how much: the runs in both as a share of the smaller piece's, 0 to 1.

        Below FEW_RUNS it is a share of those, or of the larger piece's where both are below.
        """
        common = Counter(number for run in runs for number in self._owners.get(run, ()))
        # The middle one of three is the smaller piece where both have enough runs, else the larger one or FEW_RUNS.
        shares = [
            (count / sorted((len(runs), self._sizes[number], FEW_RUNS))[1], number) for number, count in common.items()
        ]
        if not shares:
            return "", 0.0
        share, number = max(shares, key=lambda pair: (pair[0], -pair[1]))
        return self._names[number], share
