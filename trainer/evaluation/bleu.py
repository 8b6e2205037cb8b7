"""Similarity of pieces as sequences of words, scored by sacrebleu (Papineni et al. 2002; Post 2018).

A note is a word: its part, pitch interval to the note before and the bin of its delta. So transposed copies score 100.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sacrebleu.metrics.bleu import BLEU

from data.score import Score
from data.tokens import encode


def words(score: Score) -> str:
    """A piece as words separated by spaces."""
    tokens = encode(score)
    intervals = np.diff(tokens[:, 2], prepend=tokens[:1, 2])
    return " ".join(
        f"{part}:{interval}:{delta}"
        for part, interval, delta in zip(tokens[:, 0].tolist(), intervals.tolist(), tokens[:, 1].tolist(), strict=True)
    )


def bleu(piece: Score, references: Sequence[Score]) -> float:
    """BLEU-4 of a piece against references, 0 to 1."""
    return _score(words(piece), [words(reference) for reference in references])


def self_bleu(pieces: Sequence[Score]) -> list[float]:
    """BLEU-4 of each piece against all others (Zhu et al. 2018, "Texygen"): high where pieces are variants of one."""
    lines = [words(piece) for piece in pieces]
    return [_score(line, [*lines[:at], *lines[at + 1 :]]) for at, line in enumerate(lines)]


def _score(line: str, references: list[str]) -> float:
    if not references:
        return 0.0
    scorer = BLEU(tokenize="none", effective_order=True, smooth_method="exp")
    return float(scorer.sentence_score(line, references).score) / 100
