"""Held-out music is measured with the cache that the model is served with, and the cache is tuned to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from data.tokens import ATTRIBUTES, conditions
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from tests.trainer.test_loop import CPU, SMALL, pieces
from trainer.cache import GRID, held_out_nats, tuned
from trainer.dataset import Example
from trainer.loop import evaluate

REPEATED = pieces(3, 2)  # each repeats a phrase of nine notes


@pytest.fixture
def model() -> NoteLSTM:
    torch.manual_seed(1)
    return NoteLSTM(SMALL.model).eval()


def unrepeated(count: int) -> list[Example]:
    rng = np.random.default_rng(7)
    tokens = [np.stack([rng.integers(0, each.size, 45) for each in ATTRIBUTES], axis=1) for _ in range(count)]
    return [Example(each, conditions(each, mood=None, mode=None, tempo_bpm=60)) for each in tokens]


def with_cache(config: ModelConfig, **numbers: float) -> ModelConfig:
    return ModelConfig(**config.as_dict() | numbers)


def test_without_a_cache_it_is_what_training_measures(model: NoteLSTM) -> None:
    assert held_out_nats(model, REPEATED) == pytest.approx(evaluate(model, REPEATED, SMALL, CPU), abs=1e-5)


def test_a_piece_counts_as_much_as_it_has_notes(model: NoteLSTM) -> None:
    model.config = with_cache(model.config, cache_share=0.2, cache_stay=0.5)
    long, short = REPEATED[0], Example(REPEATED[1].tokens[:15], REPEATED[1].conditions[:15])
    expected = [(3 * a + b) / 4 for a, b in zip(*(held_out_nats(model, [each]) for each in (long, short)), strict=True)]
    assert held_out_nats(model, [long, short]) == pytest.approx(expected)


def test_a_tuned_cache_makes_music_that_repeats_itself_cheaper(model: NoteLSTM) -> None:
    plain = model.config
    without = sum(held_out_nats(model, REPEATED))
    config = tuned(model, REPEATED)
    assert model.config == plain
    assert with_cache(config, **{name: getattr(plain, name) for name in GRID}) == plain
    model.config = config
    assert sum(held_out_nats(model, REPEATED)) < 0.6 * without


def test_no_other_share_would_have_been_better(model: NoteLSTM) -> None:
    config = tuned(model, REPEATED)
    costs = {}
    for share in GRID["cache_share"]:
        model.config = dataclasses.replace(config, cache_share=share)
        costs[share] = sum(held_out_nats(model, REPEATED))
    assert min(costs, key=lambda share: costs[share]) == config.cache_share
    assert len({round(cost, 6) for cost in costs.values()}) == len(costs)


def test_music_that_repeats_nothing_gets_the_least_cache(model: NoteLSTM) -> None:
    assert tuned(model, unrepeated(2)).cache_share == min(GRID["cache_share"])


def test_a_tuning_that_fails_leaves_the_model_as_it_was(model: NoteLSTM) -> None:
    plain = model.config
    broken = Example(REPEATED[0].tokens + 1000, REPEATED[0].conditions)
    with pytest.raises((IndexError, RuntimeError)):
        tuned(model, [broken])
    assert model.config == plain
