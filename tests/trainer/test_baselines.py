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
        total = math.fsum(model._refined(1 / size, rows, 7, attribute, value) for value in range(size))
        assert total == pytest.approx(1.0)


def test_a_unigram_of_uniform_attributes_costs_their_entropy() -> None:
    piece = np.array([[i % 2, i // 2 % 2, i // 4 % 2, i // 8 % 2, i // 16 % 2] for i in range(32 * 400)])
    assert NGram(1).fit([piece]).nats_per_note([piece]) == pytest.approx(5 * math.log(2), abs=0.2)


def test_context_helps_where_music_repeats() -> None:
    phrase = random_piece(3, length=12)
    piece = np.concatenate([phrase] * 20)
    assert NGram(5).fit([piece]).nats_per_note([piece]) < 0.6 * NGram(1).fit([piece]).nats_per_note([piece])


def test_who_listens_knows_what_comes_back_in_a_piece_but_not_what_comes() -> None:
    model = NGram(5).fit([random_piece(1)])
    phrase, strange = random_piece(3, length=12) + 5, random_piece(4) + 5
    repeated = np.concatenate([phrase] * 8)
    plain, listening = (model.nats_per_note([repeated], listening=one) for one in (False, True))
    assert listening < 0.5 * plain
    # The first note of a piece, before which there is nothing to hear, is as likely as ever.
    assert model.nats_per_note([strange[:1]], listening=True) == model.nats_per_note([strange[:1]])
    # And what it hears in one piece it does not take along to the next.
    alone, after = (model.nats_per_note(pieces, listening=True) for pieces in ([strange], [strange] * 2))
    assert after == pytest.approx(alone)


@pytest.mark.parametrize("order", [1, 5])
def test_the_whole_distribution_agrees_with_single_probabilities(order: int) -> None:
    model = NGram(order).fit([random_piece(1)])
    rows = random_piece(2).tolist()
    for attribute, (_, size) in enumerate(ATTRIBUTES):
        singly = [model._refined(1 / size, rows, 7, attribute, value) for value in range(size)]
        np.testing.assert_allclose(model.distribution(rows, 7, attribute), singly, rtol=1e-9)
