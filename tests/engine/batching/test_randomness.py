from __future__ import annotations

import numpy as np

from engine.batching.randomness import philox, uniform, uniforms


def test_philox_gives_the_published_words() -> None:
    # The known answers of Random123, the authors' own implementation (kat_vectors, philox4x32 10 rounds).
    assert philox((0, 0), (0, 0, 0, 0)) == (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)
    ones = 0xFFFFFFFF
    assert philox((ones, ones), (ones,) * 4) == (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)


def test_a_whole_piece_at_once_gives_the_numbers_one_by_one() -> None:
    table = uniforms((2**32 - 1, 3), 40)
    assert table.tolist() == [[uniform((2**32 - 1, 3), n, a, 0) for a in range(5)] for n in range(40)]


def test_numbers_are_spread_evenly_and_below_one() -> None:
    table = uniforms((7, 0), 2000).ravel()
    assert table.min() >= 0.0
    assert table.max() < 1.0
    np.testing.assert_allclose(np.histogram(table, bins=10, range=(0, 1))[0] / len(table), 0.1, atol=0.012)
