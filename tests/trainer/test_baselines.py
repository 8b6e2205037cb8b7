from __future__ import annotations

import math

import numpy as np
import pytest

from data.tokens import ATTRIBUTES, IntArray
from trainer.baselines import NGram


def random_piece(seed: int, length: int = 80) -> IntArray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, min(4, attribute.size), length) for attribute in ATTRIBUTES], axis=1)


@pytest.mark.parametrize("order", [1, 2, 5])
def test_probabilities_of_all_values_sum_to_one(order: int) -> None:
    model = NGram(order).fit([random_piece(1)])
    rows = random_piece(2).tolist()
    for attribute, (_, size) in enumerate(ATTRIBUTES):
        total = math.fsum(model._probability(rows, 7, attribute, value, size) for value in range(size))
        assert total == pytest.approx(1.0)


def test_a_unigram_of_uniform_attributes_costs_their_entropy() -> None:
    piece = np.array([[i % 2, i // 2 % 2, i // 4 % 2, i // 8 % 2, i // 16 % 2] for i in range(32 * 400)])
    assert NGram(1).fit([piece]).nats_per_note([piece]) == pytest.approx(5 * math.log(2), abs=0.2)


def test_context_helps_where_music_repeats() -> None:
    phrase = random_piece(3, length=12)
    piece = np.concatenate([phrase] * 20)
    assert NGram(5).fit([piece]).nats_per_note([piece]) < 0.6 * NGram(1).fit([piece]).nats_per_note([piece])


@pytest.mark.parametrize("order", [1, 5])
def test_the_whole_distribution_agrees_with_single_probabilities(order: int) -> None:
    model = NGram(order).fit([random_piece(1)])
    rows = random_piece(2).tolist()
    for attribute, (_, size) in enumerate(ATTRIBUTES):
        singly = [model._probability(rows, 7, attribute, value, size) for value in range(size)]
        np.testing.assert_allclose(model.distribution(rows, 7, attribute), singly, rtol=1e-9)
