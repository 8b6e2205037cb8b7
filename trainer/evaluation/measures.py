"""What can be counted in one piece. Each measure is a number for a score; none was fitted to anything.

All work on the notes in score order or on bars of four beats. Drums (Part.PULSE) count in rhythm, not in pitch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from data.repetition import compressibility, distinct_4, longest_pitch_run, pitches
from data.score import STEPS_PER_BAR, STEPS_PER_BEAT, Score
from engine.originality import all_runs

Group = Literal["coherence", "repetition", "control"]

_SIXTEENTH_STEPS = STEPS_PER_BEAT // 4
_BAR_POSITIONS = STEPS_PER_BAR // _SIXTEENTH_STEPS
_LAG_BARS = 8
_SCALE = (0, 2, 4, 5, 7, 9, 11)  # and with it, transposed, the natural minor


@dataclass(frozen=True, slots=True)
class Measure:
    """One number that is measured for every piece.

    Attributes:
        name: in the report.
        group: coherence and repetition should lie inside the human band; controls prove nothing.
        of: the measure itself.
        says: one line for the report, with the source.
    """

    name: str
    group: Group
    of: Callable[[Score], float]
    says: str


def _bars(score: Score) -> list[frozenset[tuple[int, int]]]:
    """For each bar from the first note's to the last onset's: its (position in sixteenths, pitch) pairs."""
    first = score.notes[0].start_step // STEPS_PER_BAR
    bars: list[set[tuple[int, int]]] = [set() for _ in range(score.notes[-1].start_step // STEPS_PER_BAR - first + 1)]
    for note in score.notes:
        bar, within = divmod(note.start_step, STEPS_PER_BAR)
        bars[bar - first].add((within // _SIXTEENTH_STEPS, note.pitch))
    return [frozenset(bar) for bar in bars]


def groove_consistency(score: Score) -> float:
    """How alike the onset patterns of neighbouring bars are, 0 to 1.

    1 minus the mean Hamming distance over sixteenths: the grooving pattern similarity of Wu & Yang 2020, "The Jazz
    Transformer on the front line", taken between neighbours as MusPy does (Dong et al. 2020).
    """
    bars = _bars(score)
    patterns = np.zeros((len(bars), _BAR_POSITIONS), dtype=bool)
    for row, bar in zip(patterns, bars, strict=True):
        row[[position for position, _ in bar]] = True
    if len(bars) < 2:
        return 1.0
    return float(1 - (patterns[1:] != patterns[:-1]).mean())


def lag_curve(score: Score, lags: int = _LAG_BARS) -> npt.NDArray[np.float64]:
    """Mean similarity of bars that stand 1, 2, … `lags` bars apart, [lags] float64; NaN where there are none.

    Similarity of two bars is the share of notes (position and pitch) in both among those in either (Yu et al. 2022,
    "Museformer": bar pair similarity and its distribution over intervals). Two empty bars do not count.
    """
    bars = _bars(score)
    curve = np.full(lags, np.nan)
    for lag in range(1, lags + 1):
        pairs = [(a, b) for a, b in zip(bars, bars[lag:], strict=False) if a or b]
        if pairs:
            curve[lag - 1] = np.mean([len(a & b) / len(a | b) for a, b in pairs])
    return curve


def bar_self_similarity(score: Score) -> float:
    """Mean over bars of the similarity to the most alike of the eight bars before, 0 to 1.

    The similarity is that of `lag_curve`; taking the best of a window asks whether material comes back at all, as the
    stripes of a self-similarity matrix do (Foote 1999).
    """
    bars = _bars(score)
    best = [
        max(len(bar & other) / len(bar | other) for other in bars[max(0, at - _LAG_BARS) : at])
        for at, bar in enumerate(bars)
        if at and bar
    ]
    return float(np.mean(best)) if best else 0.0


def phrase_repetition(score: Score) -> float:
    """Share of the runs of eight intervals that have stood in the piece before, 0 to 1.

    Runs and lines are those of `engine.originality`, so that a phrase is recognised in another key; repeated patterns
    are what listeners hear as form (Hsu, Liu & Chen 2001, "Discovering nontrivial repeating patterns in music data").
    """
    repeated = total = 0
    for line in all_runs(score):
        total += len(line.hashes)
        repeated += len(line.hashes) - len(np.unique(line.hashes))
    return repeated / total if total else 0.0


def pitch_class_entropy(score: Score) -> float:
    """Bits of the distribution of pitch classes, 0 to 3.585 (Wu & Yang 2020)."""
    counts = np.bincount(pitches(score) % 12, minlength=12)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum())


def scale_consistency(score: Score) -> float:
    """Largest share of notes in one major scale (Mogren 2016; MusPy)."""
    counts = np.bincount(pitches(score) % 12, minlength=12)
    if not counts.sum():
        return 0.0
    return float(max(np.roll(counts, -tonic)[list(_SCALE)].sum() for tonic in range(12)) / counts.sum())


MEASURES: tuple[Measure, ...] = (
    Measure(
        "groove consistency", "coherence", groove_consistency, "onset patterns of neighbouring bars, Wu & Yang 2020"
    ),
    Measure("bar self-similarity", "coherence", bar_self_similarity, "best of eight bars before, after Yu et al. 2022"),
    Measure("phrase repetition", "coherence", phrase_repetition, "8-interval runs heard before, after Hsu et al. 2001"),
    Measure("distinct-4", "repetition", distinct_4, "different 4-grams of intervals, Li et al. 2016"),
    Measure("longest pitch run", "repetition", longest_pitch_run, "notes of one pitch in a row"),
    Measure("compressibility", "repetition", compressibility, "share of bytes that DEFLATE saves, Meredith 2012"),
    Measure("pitch-class entropy", "control", pitch_class_entropy, "bits, Wu & Yang 2020"),
    Measure("scale consistency", "control", scale_consistency, "notes in one scale, Mogren 2016"),
)
