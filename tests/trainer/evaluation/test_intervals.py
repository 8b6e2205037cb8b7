"""Intervals: of a share by Wilson's formula, of a mean by drawing people."""

import math

import numpy as np
import pytest

from trainer.evaluation.intervals import mean_interval, share_interval


def test_the_interval_of_a_share_is_wilsons() -> None:
    share, of, z = 323 / 400, 400, 1.959963985
    centre = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z / (1 + z * z / of) * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    assert share_interval(share, of) == pytest.approx((centre - half, centre + half))
    assert share_interval(1.0, 400)[1] == pytest.approx(1.0)


def test_the_interval_of_a_mean_holds_it_in_nineteen_of_twenty_cases() -> None:
    rng = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        sizes = rng.integers(50, 400, 60).astype(float)
        low, high = mean_interval(rng.normal(3.0, 1.0, 60) * sizes, sizes, [str(n) for n in range(60)])
        inside += low <= 3.0 <= high
    assert 175 <= inside <= 200


def test_pieces_of_one_person_say_little_more_than_one() -> None:
    rng = np.random.default_rng(1)
    nats = rng.normal(3.0, 1.0, 20)
    alone = mean_interval(nats * 100, np.full(20, 100.0), [str(n) for n in range(20)])
    many = mean_interval(np.tile(nats, 9) * 100, np.full(180, 100.0), [str(n % 20) for n in range(180)])
    assert many == pytest.approx(alone)
    one = mean_interval(nats * 100, np.full(20, 100.0), ["x"] * 20)
    assert one == pytest.approx((nats.mean(), nats.mean()))
