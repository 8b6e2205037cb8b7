"""Blocks of slots that PyTorch steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from data.moods import Mood
from engine.batching.torch_slots import TorchSlots
from engine.batching.torch_step import TorchBlock
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.plan import plan
from engine.types import ComposeRequest
from tests.engine.batching.making import odd_checkpoint, otherwise, piece
from tests.engine.batching.test_slots import model_nats


@pytest.fixture(scope="module", params=["shipped", "odd"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(DEFAULT) if request.param == "shipped" else odd_checkpoint()


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_piece_is_the_same_in_every_block_whatever_the_others_hold(
    checkpoint: Checkpoint, dtype: torch.dtype
) -> None:
    if dtype != torch.float32:
        checkpoint = odd_checkpoint()  # a larger model takes a CPU many times longer in 16 bits
    slots = TorchSlots(checkpoint, 32, block=8, dtype=dtype)
    wanted = ComposeRequest(length_notes=20, seed=7, temperature=1.1, mood=Mood.EPIC)
    alone = piece(TorchSlots(checkpoint, 1, block=8, dtype=dtype), 0, wanted)
    for slot, others in ((0, range(1, 32)), (13, (2, 12)), (31, (0,)), (20, ())):
        for other in others:
            request = ComposeRequest(length_notes=16 + other, seed=other, top_p=0.9 - other / 64)
            slots.begin(other, request, plan(request))
            slots.run(other % 3)
        np.testing.assert_array_equal(piece(slots, slot, wanted, steps=5), alone)


@dataclass
class Counted:
    """Steps of each block so far, by the block."""

    steps: dict[int, int]

    def of(self, slots: TorchSlots) -> list[int]:
        return [self.steps.get(id(block), 0) for block in slots._blocks]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    counted, step = Counted({}), TorchBlock.step

    def count(block: TorchBlock) -> None:
        counted.steps[id(block)] = counted.steps.get(id(block), 0) + 1
        step(block)

    monkeypatch.setattr(TorchBlock, "step", count)
    return counted


def test_blocks_in_which_nothing_is_written_are_not_computed(counted: Counted) -> None:
    slots = TorchSlots(odd_checkpoint(), 16, block=4)
    for slot, notes in ((5, 20), (14, 17)):
        request = ComposeRequest(length_notes=notes, seed=slot)
        slots.begin(slot, request, plan(request))
    while slots.run(16):
        pass
    assert counted.of(slots) == [0, 20, 0, 17]
    piece(slots, 0, ComposeRequest(length_notes=16, seed=1))
    assert counted.of(slots) == [16, 20, 0, 17]


def test_what_was_written_before_a_stop_is_there(checkpoint: Checkpoint) -> None:
    slots = TorchSlots(checkpoint, 8, block=4)
    request = ComposeRequest(length_notes=24, seed=4)
    whole = piece(slots, 6, request)
    slots.begin(5, request, plan(request))
    slots.run(8)
    slots.stop(5)
    np.testing.assert_array_equal(slots.tokens(5), whole[:8])
    slots.run(8)
    np.testing.assert_array_equal(slots.tokens(5), whole[:8])


def test_the_draw_is_as_likely_as_the_nucleus_says() -> None:
    count, slots = 4096, 64
    block = TorchSlots(odd_checkpoint(), slots, block=slots)._blocks[0]
    shares = torch.tensor([0.02, 0.5, 0.0, 0.2, 0.2, 0.05, 0.03])
    block._top_p[:] = 0.9
    block._inverse_temperature[:] = 0.5
    logits = (2 * torch.log(shares)).expand(slots, -1)
    numbers = torch.arange(count) * (2**24 // count)
    drawn = torch.cat([block._draw(logits, few[:, None]) for few in numbers.split(slots)])
    # Three weigh 0.9; the next is outside, since what is likelier weighs 0.9 already.
    got = torch.bincount(drawn, minlength=len(shares)) / count
    torch.testing.assert_close(got, torch.tensor([0, 0.5, 0, 0.2, 0.2, 0, 0]) / 0.9, atol=2 / count, rtol=0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 3e-4), (torch.float16, 0.05), (torch.bfloat16, 0.4)])
def test_steps_agree_with_the_model_at_every_attribute(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, tolerance: float
) -> None:
    """Teacher-forced: what each attribute of a given piece would have been drawn from."""
    heard: list[Tensor] = []
    draw = TorchBlock._draw

    def listen(block: TorchBlock, logits: Tensor, random: Tensor) -> Tensor:
        heard.append(torch.log_softmax(logits[0], 0))
        return draw(block, logits, random)

    monkeypatch.setattr(TorchBlock, "_draw", listen)
    plain = otherwise(checkpoint, guidance=1.0)  # what a note costs is asked of the model as it learnt
    request = ComposeRequest(mood=Mood.TENSE, length_notes=40, seed=1)
    slots = TorchSlots(plain, 1, block=4, dtype=dtype)
    tokens = piece(slots, 0, request)
    heard.clear()
    slots.begin(0, request, plan(request, plain.styles), opening=tokens)
    while slots.run(16):
        pass
    given = model_nats(plain, request, tokens)
    got = torch.stack([-logits[value] for logits, value in zip(heard, tokens.ravel(), strict=True)]).view(-1, 5)
    # The rules leave values out of two attributes, which makes the others likelier.
    free = [0, 3, 4]
    assert np.abs(got.numpy() - given)[:, free].max() < tolerance
    assert (got.numpy() - given < tolerance).all()
