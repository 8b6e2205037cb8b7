"""Random numbers that are looked up, not drawn in turn: number (note, attribute, try) of a request.

The generator is Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3",
section 3.2). Its key is the request's seed and the drawing, its counter says what the number is for. So a number is the
same whenever, wherever and beside whatever else it is computed. `engine/native/step.c` and the torch step do the same.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from data.tokens import ATTRIBUTES

_MULTIPLIERS = 0xD2511F53, 0xCD9E8D57
_WEYL = 0x9E3779B9, 0xBB67AE85
_MASK = 0xFFFFFFFF


def philox(key: tuple[int, int], counter: tuple[int, int, int, int]) -> tuple[int, int, int, int]:
    """Philox4x32-10: four 32-bit words from a key of two and a counter of four."""
    a, b, c, d = counter
    k, l = key  # noqa: E741 - the paper's name
    for _ in range(10):
        first, second = _MULTIPLIERS[0] * a, _MULTIPLIERS[1] * c
        a, b, c, d = (second >> 32) ^ b ^ k, second & _MASK, (first >> 32) ^ d ^ l, first & _MASK
        k, l = (k + _WEYL[0]) & _MASK, (l + _WEYL[1]) & _MASK  # noqa: E741
    return a, b, c, d


def uniform(key: tuple[int, int], note: int, attribute: int, attempt: int) -> float:
    """The number in [0, 1) for one try at one attribute of one note: a multiple of 2**-24, exact in float32.

    Args:
        key: the request's seed, and which drawing of the request it is (0 for the first).
        note: index in the piece.
        attribute: index into ATTRIBUTES.
        attempt: 0 for the first try, and one more for each draw that fell outside the nucleus.
    """
    return (philox(key, (note, attribute, attempt, 0))[0] >> 8) * 2.0**-24


def uniforms(key: tuple[int, int], notes: int) -> npt.NDArray[np.float32]:
    """The first try of every attribute of every note: [notes, 5] float32, each as `uniform` gives it."""
    count = len(ATTRIBUTES)
    a = np.repeat(np.arange(notes, dtype=np.uint64), count)
    b = np.tile(np.arange(count, dtype=np.uint64), notes)
    c = d = np.zeros(notes * count, np.uint64)
    k, l = np.uint64(key[0]), np.uint64(key[1])  # noqa: E741
    mask, half = np.uint64(_MASK), np.uint64(32)
    for _ in range(10):
        first, second = np.uint64(_MULTIPLIERS[0]) * a, np.uint64(_MULTIPLIERS[1]) * c
        a, b, c, d = (second >> half) ^ b ^ k, second & mask, (first >> half) ^ d ^ l, first & mask
        k, l = (k + np.uint64(_WEYL[0])) & mask, (l + np.uint64(_WEYL[1])) & mask  # noqa: E741
    return ((a >> np.uint64(8)).astype(np.float32) * np.float32(2.0**-24)).reshape(notes, count)
