"""How much two pieces have in common: shared 8-interval n-grams, insensitive to transposition and tempo.

An interval is one step between successive notes of a piece in score order: the pitch difference in semitones and
the class of the ratio between this onset gap and the last one that was not zero. Eight of them in a row are one n-gram.
Two pieces share `|A and B| / min(|A|, |B|)` of their distinct n-grams (after Yin et al. 2022, "Measuring when a music
generation algorithm copies too much", who score copying by matched passages in the same representation).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from data.score import Score

NGRAM_INTERVALS = 8
_RATIO_CLASSES = 6  # half octaves of tempo either way, so that 2:1 is two classes and rounding is forgiven
_PITCH_SPAN = 256
_SPLITMIX = np.uint64(0x9E3779B97F4A7C15)  # an odd multiplier that mixes well (Steele et al. 2014)

HUMAN_SHARE_P99 = 0.0
HUMAN_SHARE_MAX = 0.0


def interval_codes(score: Score) -> np.ndarray:
    """One integer per step between successive notes.

    Returns:
        [N - 1] int64, or [0] for fewer than two notes.
    """
    codes = []
    gap_before = 0
    for first, second in pairwise(score.notes):
        gap = second.start_step - first.start_step
        if gap == 0:
            ratio = -_RATIO_CLASSES - 1  # a class of its own: the notes begin together
        elif gap_before == 0:
            ratio = 0
        else:
            ratio = round(2 * float(np.log2(gap / gap_before)))
            ratio = max(-_RATIO_CLASSES, min(_RATIO_CLASSES, ratio))
        if gap:
            gap_before = gap
        codes.append((ratio + _RATIO_CLASSES + 1) * _PITCH_SPAN + second.pitch - first.pitch + _PITCH_SPAN // 2)
    return np.array(codes, dtype=np.int64)


def ngrams(score: Score) -> np.ndarray:
    """Hashes of the distinct 8-interval n-grams of a piece, ascending. [K] uint64, K = 0 for fewer than nine notes."""
    codes = interval_codes(score).astype(np.uint64)
    count = len(codes) - NGRAM_INTERVALS + 1
    if count < 1:
        return np.zeros(0, dtype=np.uint64)
    hashes = np.zeros(count, dtype=np.uint64)
    for offset in range(NGRAM_INTERVALS):
        hashes = (hashes + codes[offset : offset + count] + np.uint64(1)) * _SPLITMIX
        hashes ^= hashes >> np.uint64(29)
    return np.unique(hashes)


@dataclass(frozen=True, slots=True)
class Sharing:
    """Shares of common n-grams over all pairs of different pieces, each in [0, 1]."""

    pairs: int
    mean: float
    p99: float
    p999: float
    maximum: float
    closest: tuple[int, int]  # indices of the pair that shares most


def sharing(grams: Sequence[np.ndarray], groups: Sequence[object] | None = None) -> Sharing:
    """Compare every pair of pieces.

    Args:
        grams: `ngrams` of at least two pieces.
        groups: one label a piece; pairs within one label (one composer, say) are left out. None compares all.
    """
    lengths = np.array([len(gram) for gram in grams], dtype=np.int64)
    if len(grams) < 2 or not lengths.all():
        raise ValueError("sharing needs at least two pieces of nine notes or more each")
    _, columns = np.unique(np.concatenate(list(grams)), return_inverse=True)
    rows = np.repeat(np.arange(len(grams)), lengths)
    table = csr_matrix((np.ones(len(columns), dtype=np.int32), (rows, columns.ravel())))
    common = (table @ table.T).toarray()  # [pieces, pieces] int32
    share = common / np.minimum(lengths[:, None], lengths[None, :])
    upper = np.triu(np.ones_like(share, dtype=bool), k=1)
    if groups is not None:
        labels = np.unique(np.array([str(group) for group in groups]), return_inverse=True)[1]
        upper &= labels[:, None] != labels[None, :]
    values = share[upper]
    first, second = np.unravel_index(int(np.argmax(np.where(upper, share, -1.0))), share.shape)
    p99, p999 = np.quantile(values, (0.99, 0.999))
    return Sharing(
        len(values), float(values.mean()), float(p99), float(p999), float(values.max()), (int(first), int(second))
    )


def ngrams_of(scores: Iterable[Score]) -> list[np.ndarray]:
    """`ngrams` of every score that has at least nine notes, in order."""
    return [gram for gram in map(ngrams, scores) if len(gram)]
