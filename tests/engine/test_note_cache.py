"""The continuous cache: what was written comes back, in each of the three ways in which it is computed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

from data.tokens import ATTRIBUTES, PITCH, VELOCITY
from engine import note_cache
from engine.batching.torch_cache import TorchCache
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.note_cache import CACHED, NoteCache, cached_nats

SHAPE = ModelConfig(
    embedding=16, hidden=16, layers=1, cache_share=0.3, cache_stay=0.7, cache_sharpness=3.0, cache_match=0.8
)
NOTES = 90


@pytest.fixture
def model() -> NoteLSTM:
    torch.manual_seed(1)
    return NoteLSTM(SHAPE).eval().requires_grad_(False)


def figures(seed: int, notes: int = NOTES) -> tuple[Tensor, Tensor]:
    """Hidden states [T, H] and notes [T, 5] of a piece that has only six different notes, each with its own state."""
    rng = np.random.default_rng(seed)
    kinds = np.stack([rng.integers(attribute.size, size=6) for attribute in ATTRIBUTES], axis=1)
    states = rng.uniform(-0.9, 0.9, (6, SHAPE.hidden))
    order = rng.integers(6, size=notes)
    tokens = kinds[order]
    tokens[:, VELOCITY] = rng.integers(ATTRIBUTES[VELOCITY].size, size=notes)
    hidden = states[order] + rng.normal(0, 0.02, (notes, SHAPE.hidden))
    return torch.tensor(hidden, dtype=torch.float32), torch.from_numpy(tokens)


def nats_note_by_note(model: NoteLSTM, hidden: Tensor, tokens: Tensor) -> Tensor:
    """[T, 5] by `NoteCache`."""
    cache, rows = NoteCache(model.config), []
    for state, note in zip(hidden, tokens, strict=True):
        cache.look(state)
        row = []
        for attribute in range(len(ATTRIBUTES)):
            alone = model.attribute_logits(attribute, state, note)
            row.append(-torch.log_softmax(cache.mix(attribute, alone), dim=-1)[note[attribute]])
            cache.choose(attribute, int(note[attribute]), alone)
        cache.keep(note.tolist())
        rows.append(torch.stack(row))
    return torch.stack(rows)


def nats_side_by_side(model: NoteLSTM, pieces: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """[T, 5] of each piece by one `TorchCache`; one that has ended is computed on and on, as a finished slot is."""
    cache = TorchCache(SHAPE, len(pieces), SHAPE.hidden, torch.device("cpu"), torch.float32)
    rows: list[list[Tensor]] = [[] for _ in pieces]
    written = torch.zeros(len(pieces), dtype=torch.int64)
    lengths = torch.tensor([len(tokens) for _, tokens in pieces])
    while (written < lengths).any():
        active = written < lengths
        at = torch.minimum(written, lengths - 1)
        state = torch.stack([hidden[t] for (hidden, _), t in zip(pieces, at.tolist(), strict=True)])
        note = torch.stack([tokens[t] for (_, tokens), t in zip(pieces, at.tolist(), strict=True)])
        cache.look(state, written)
        losses = []
        for attribute in range(len(ATTRIBUTES)):
            alone = model.attribute_logits(attribute, state, note)
            shares = torch.log_softmax(cache.mix(attribute, alone), dim=1)
            losses.append(-shares.gather(1, note[:, attribute, None])[:, 0])
            cache.choose(attribute, note[:, attribute])
        cache.keep(written, state, note)
        for slot in torch.nonzero(active)[:, 0].tolist():
            rows[slot].append(torch.stack([loss[slot] for loss in losses]))
        written += active.long()
    return [torch.stack(each) for each in rows]


def test_the_three_ways_agree(model: NoteLSTM) -> None:
    pieces = [figures(seed, notes) for seed, notes in enumerate((NOTES, NOTES - 31, NOTES - 7))]
    for piece, side_by_side in zip(pieces, nats_side_by_side(model, pieces), strict=True):
        whole = cached_nats(model, *piece)
        torch.testing.assert_close(nats_note_by_note(model, *piece), whole, atol=2e-4, rtol=2e-4)
        torch.testing.assert_close(side_by_side, whole, atol=2e-4, rtol=2e-4)


def test_only_the_last_notes_are_kept(model: NoteLSTM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(note_cache, "CACHE_NOTES", 7)
    monkeypatch.setattr("engine.batching.torch_cache.CACHE_NOTES", 7)
    monkeypatch.setattr(note_cache, "_ROWS", 13)
    piece = figures(4)
    whole = cached_nats(model, *piece)
    torch.testing.assert_close(nats_note_by_note(model, *piece), whole, atol=2e-4, rtol=2e-4)
    torch.testing.assert_close(nats_side_by_side(model, [piece])[0], whole, atol=2e-4, rtol=2e-4)
    monkeypatch.undo()
    assert (cached_nats(model, *piece).sum(1)[20:] - whole.sum(1)[20:]).abs().max() > 0.01


def test_each_attribute_has_a_distribution(model: NoteLSTM) -> None:
    hidden, tokens = figures(2)
    cache = NoteCache(model.config)
    for state, note in zip(hidden, tokens, strict=True):
        cache.look(state)
        for attribute in range(len(ATTRIBUTES)):
            alone = model.attribute_logits(attribute, state, note)
            mixed = torch.softmax(alone, 0) if cache._share == 0 else torch.exp(cache.mix(attribute, alone))
            if attribute in CACHED:
                torch.testing.assert_close(mixed.sum(), torch.tensor(1.0), atol=1e-5, rtol=0)
            cache.choose(attribute, int(note[attribute]), alone)
        cache.keep(note.tolist())


def test_a_figure_that_comes_back_is_expected(model: NoteLSTM) -> None:
    hidden, tokens = figures(3)
    with_cache = cached_nats(model, hidden, tokens)
    model.config = dataclasses.replace(SHAPE, cache_share=0.0)
    without = cached_nats(model, hidden, tokens)
    torch.testing.assert_close(without, model.nats(hidden, tokens))
    assert with_cache[NOTES // 2 :, PITCH].mean() < 0.5 * without[NOTES // 2 :, PITCH].mean()
    torch.testing.assert_close(with_cache[:, VELOCITY], without[:, VELOCITY], atol=1e-5, rtol=1e-5)
