"""How alike pieces are: the 8-interval n-grams that every pair of them shares, beside what human pieces share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

# Measured over the 478 files that `data/SOURCES.md` credits, 105,287 pairs of pieces by different people, with
# `data.similarity.fingerprint` as here. The largest share is 0.203 between two editions of one study, 0.061
# between two more of them; between two works it is the number below. One pair in a thousand shares 0.0063 or more.
HUMAN_SHARE_MAX = 0.078
HUMAN_SHARE_P999 = 0.0063


@dataclass(frozen=True, slots=True)
class Sharing:
    """Shares of common n-grams over all pairs of different pieces, each of the smaller piece's, in [0, 1]."""

    pairs: int
    p999: float  # 99.9th percentile
    maximum: float


def sharing(fingerprints: Sequence[frozenset[int]]) -> Sharing:
    """Compare every pair of pieces.

    Args:
        fingerprints: `data.similarity.fingerprint` of at least two pieces, none of them empty.

    Raises:
        ValueError: fewer than two pieces, or one too short to have a fingerprint.
    """
    sizes = np.array([len(runs) for runs in fingerprints], dtype=np.int64)
    if len(sizes) < 2 or not sizes.all():
        raise ValueError("variety needs at least two pieces of ten notes or more each")
    runs = np.concatenate([np.fromiter(runs, dtype=np.uint64, count=len(runs)) for runs in fingerprints])
    columns = np.unique(runs, return_inverse=True)[1].ravel()
    rows = np.repeat(np.arange(len(sizes)), sizes)
    table = csr_matrix((np.ones(len(columns), dtype=np.int32), (rows, columns)))  # [pieces, n-grams]
    common = (table @ table.T).toarray()  # [pieces, pieces]
    share = common / np.minimum(sizes[:, None], sizes[None, :])
    values = share[np.triu_indices(len(sizes), k=1)]
    return Sharing(len(values), float(np.quantile(values, 0.999)), float(values.max()))
