"""Blocks of slots, and the graphs of several blocks, as they are on a GPU too: here on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from data.moods import Mood
from engine.batching.torch_slots import _GRAPH_STEPS, DeviceLost, TorchSlots, counts_of_blocks
from engine.batching.torch_step import DeviceWeights, TorchBlock
from engine.batching.weights import step_weights
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.plan import plan
from engine.types import ComposeRequest
from tests.engine.batching.making import guided_by, odd_checkpoint, piece
from tests.engine.batching.test_slots import model_nats


@pytest.fixture(scope="module", params=["shipped", "odd"])
def checkpoint(request: pytest.FixtureRequest) -> Checkpoint:
    return load_checkpoint(DEFAULT) if request.param == "shipped" else odd_checkpoint()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


class Recorded:
    """What a graph does: always the same steps of the same blocks, whatever they hold."""

    def __init__(self, blocks: list[TorchBlock]) -> None:
        self._blocks = blocks

    @torch.inference_mode()
    def replay(self) -> None:
        for block in self._blocks:
            for _ in range(_GRAPH_STEPS):
                block.step()


def test_the_smallest_graph_is_replayed_that_covers_what_is_written(
    monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    odd = odd_checkpoint()
    slots = TorchSlots(odd, 20, block=4)
    graphs = {count: Recorded(slots._blocks[:count]) for count in counts_of_blocks(len(slots._blocks))}
    assert list(graphs) == [1, 2, 4, 5]
    monkeypatch.setattr(slots, "_graphs", graphs)
    alone = TorchSlots(odd, 1, block=4)
    before = np.zeros(5, int)
    for slot, computed in ((3, [1, 0, 0, 0, 0]), (4, [1, 1, 0, 0, 0]), (9, [1, 1, 1, 1, 0]), (18, [1, 1, 1, 1, 1])):
        request = ComposeRequest(length_notes=20, seed=slot)
        np.testing.assert_array_equal(piece(slots, slot, request, steps=8), piece(alone, 0, request))
        after = np.array(counted.of(slots))
        assert (after - before).tolist() == [24 * each for each in computed]  # three graphs for 20 notes
        before = after


def test_graphs_are_of_one_two_four_and_all_blocks() -> None:
    assert [counts_of_blocks(blocks) for blocks in (1, 2, 3, 16)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 16]]


class Devices(TorchDispatchMode):
    """Notes on which devices the tensors lie that operations are given and make."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.operations += 1
        self.seen |= {leaf.device.type for leaf in tree_leaves((args, kwargs, made)) if isinstance(leaf, Tensor)}
        return made


def test_a_step_can_be_recorded_it_stays_on_its_device_and_asks_for_no_value(checkpoint: Checkpoint) -> None:
    # Tensors on "meta" have shapes and no values: whatever reads one back, or sizes another by it, raises. So does
    # what mixes them with tensors on the host, copies aside, which `Devices` would see.
    weights = DeviceWeights(step_weights(checkpoint.model), torch.device("meta"), torch.float16)
    block = TorchBlock(weights, 64, checkpoint.longest_pitch_run)
    request = ComposeRequest(length_notes=64)
    block.begin(3, request, plan(request))
    with torch.inference_mode(), Devices() as devices:
        block.step()
    assert devices.seen == {"meta"}
    assert devices.operations > 100


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


@dataclass
class FailingCopy:
    """Notes on a GPU that cannot be had any more."""

    problem: RuntimeError

    def __getitem__(self, _: slice) -> FailingCopy:
        return self

    def cpu(self) -> Tensor:
        raise self.problem


@pytest.mark.parametrize(
    ("problem", "known_as"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), DeviceLost),
        (torch.OutOfMemoryError("CUDA out of memory"), torch.OutOfMemoryError),
    ],
)
def test_a_gpu_that_fails_is_lost_but_not_one_that_is_full(
    monkeypatch: pytest.MonkeyPatch, problem: RuntimeError, known_as: type[RuntimeError]
) -> None:
    slots = TorchSlots(odd_checkpoint(), 4, block=4)
    request = ComposeRequest(length_notes=20, seed=1)
    slots.begin(0, request, plan(request))
    monkeypatch.setattr(slots, "device", torch.device("cuda"))

    def fail(_: TorchBlock) -> None:
        raise problem

    monkeypatch.setattr(TorchBlock, "step", fail)
    with pytest.raises(known_as):
        slots.run(8)
    monkeypatch.setattr(TorchBlock, "tokens", lambda *_: FailingCopy(problem))
    with pytest.raises(known_as):  # of a piece that was stopped a moment ago
        slots.tokens(0)


def test_the_draw_is_as_likely_as_the_nucleus_says() -> None:
    count, slots = 4096, 64
    block = TorchSlots(odd_checkpoint(), slots)._blocks[0]
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
    plain = guided_by(checkpoint, 1.0)  # what a note costs is asked of the model as it learnt
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
