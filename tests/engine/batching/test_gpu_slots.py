"""The kernels of a GPU: on one where there is one, and else interpreted on the CPU, with shorter pieces."""

from __future__ import annotations

import gc
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from data.moods import Mood
from data.tokens import DELTA, PART, IntArray
from engine.batching.gpu import step as gpu_step
from engine.batching.gpu.slots import GpuSlots
from engine.batching.gpu.step import counts_of_blocks
from engine.batching.native import NativeSlots
from engine.batching.process import WriterProcess
from engine.batching.slots import DeviceFull, DeviceLost, open_slots, ways
from engine.batching.torch_slots import TorchSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.originality import Index
from engine.plan import plan
from engine.takes import Judge
from engine.types import TOP_P_MIN, ComposeRequest
from tests.engine.batching.making import Sabotage, odd_checkpoint, otherwise, piece

CUDA = torch.cuda.is_available()
needs_gpu = pytest.mark.skipif(not CUDA, reason="needs a GPU")
NOTES = 200 if CUDA else 20


pytestmark = pytest.mark.usefixtures("one_thread")


def slots_of(checkpoint: Checkpoint, count: int, dtype: torch.dtype = torch.float32) -> GpuSlots:
    if CUDA:
        return GpuSlots(checkpoint, count, dtype=dtype)
    return GpuSlots(checkpoint, count, device="cpu", dtype=dtype, block=16, graph_steps=2)


def against_the_rules(notes: int) -> IntArray:
    """An opening with chords that do not ascend."""
    tokens = np.random.default_rng(4).integers([11, 32, 88, 31, 16], size=(notes, 5))
    tokens[:4, DELTA], tokens[:4, PART] = 0, 3
    return tokens


@pytest.mark.parametrize(
    ("changes", "many"),
    [({}, gpu_step._MANY), ({"guidance": 1.0}, 0), ({"guidance": 1.0, "cache_share": 0.0}, gpu_step._MANY)],
)
def test_the_notes_are_those_of_pytorch(monkeypatch: pytest.MonkeyPatch, changes: dict[str, float], many: int) -> None:
    """However the programs are cut: where slots are few, and as where they are more than `many`."""
    monkeypatch.setattr(gpu_step, "_MANY", many)
    checkpoint = otherwise(odd_checkpoint(), **changes)
    for request, begins in (
        (ComposeRequest(length_notes=NOTES, seed=7, temperature=1.1, mood=Mood.EPIC), None),
        (ComposeRequest(length_notes=16, seed=2**32 - 1, temperature=0.6, top_p=0.7), against_the_rules(6)),
    ):
        both = []
        for slots in (slots_of(checkpoint, 1), TorchSlots(checkpoint, 1, block=4)):
            slots.begin(3, request, plan(request), attempt=2, opening=begins)
            while slots.run(16):
                pass
            both.append(slots.tokens(3))
        np.testing.assert_array_equal(*both)


def test_the_likeliest_value_is_there_to_draw_however_small_the_nucleus() -> None:
    slots, request = slots_of(odd_checkpoint(), 1), ComposeRequest(length_notes=16, seed=3, top_p=TOP_P_MIN)
    likeliest = piece(slots, 0, request)
    object.__setattr__(request, "top_p", 1e-46)  # which no request can have
    np.testing.assert_array_equal(piece(slots, 0, request), likeliest)


@needs_gpu
def test_a_long_piece_of_the_shipped_model_is_that_of_pytorch_too() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    request = ComposeRequest(length_notes=300, seed=5, mood=Mood.TENSE)
    expected = piece(TorchSlots(checkpoint, 1, block=4), 0, request)
    np.testing.assert_array_equal(piece(slots_of(checkpoint, 64), 9, request), expected)


@pytest.mark.parametrize(
    ("dtype", "count"),
    [(torch.float32, 200), (torch.float16, 200), (torch.float16, 320)] if CUDA else [(torch.float16, 24)],
)
def test_a_piece_does_not_depend_on_its_company(dtype: torch.dtype, count: int) -> None:
    checkpoint = load_checkpoint(DEFAULT) if CUDA else odd_checkpoint()
    slots = slots_of(checkpoint, count, dtype)
    alone = slots_of(checkpoint, 1 if count <= gpu_step._MANY else count, dtype)
    chance = random.Random(3)
    pieces = 600 if CUDA else 4
    waiting = [
        ComposeRequest(
            length_notes=chance.randint(16, NOTES - 2),
            seed=n,
            mood=chance.choice(list(Mood)),
            temperature=chance.uniform(0.3, 1.6),
            top_p=chance.uniform(0.3, 1.0),
        )
        for n in range(pieces)
    ]
    if CUDA:
        waiting[0] = replace(waiting[0], length_notes=1024)
    running, done = dict[int, ComposeRequest](), []
    while waiting or running:
        for _ in range(chance.randint(0, slots.count // 8)):
            slot = chance.randrange(slots.count)
            if waiting and slot not in running:
                running[slot] = waiting.pop()
                slots.begin(slot, running[slot], plan(running[slot]))
        if running and chance.random() < 0.1:
            slots.stop(chance.choice(sorted(running)))
        slots.run(16)
        ended = [slot for slot in running if slots.finished()[slot]]
        done += [(running.pop(slot), slots.tokens(slot)) for slot in ended]
    assert len(done) == pieces
    for request, tokens in done[-25 if CUDA else -2 :]:
        np.testing.assert_array_equal(tokens, piece(alone, 0, request)[: len(tokens)])  # if stopped, its beginning
    assert any(len(tokens) == request.length_notes for request, tokens in done)


def test_what_was_written_before_a_stop_is_there() -> None:
    slots = slots_of(odd_checkpoint(), 16)
    request = ComposeRequest(length_notes=16, seed=4)
    whole = piece(slots, 6, request)
    slots.begin(5, request, plan(request))
    written = slots.run(1)
    slots.stop(5)
    assert slots.finished()[5]
    np.testing.assert_array_equal(slots.tokens(5), whole[:written])
    assert slots.run(1) == 0
    np.testing.assert_array_equal(slots.tokens(5), whole[:written])


def test_what_was_taken_is_kept_no_longer_but_can_be_taken_again() -> None:
    slots = slots_of(odd_checkpoint(), 16)
    whole = piece(slots, 6, ComposeRequest(length_notes=16, seed=4))
    assert not slots._complete
    np.testing.assert_array_equal(slots.tokens(6), whole)


def test_the_smallest_graph_is_replayed_that_covers_what_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    slots, replayed = GpuSlots(odd_checkpoint(), 80, device=slots_of(odd_checkpoint(), 1).device.type, block=16), []

    class Recorded:
        def __init__(self, blocks: int) -> None:
            self.blocks = blocks

        def replay(self) -> None:
            replayed.append(self.blocks)

    monkeypatch.setattr(slots._step, "graphs", {count: Recorded(count) for count in counts_of_blocks(5)})
    for slot in (15, 16, 40, 79):
        request = ComposeRequest(length_notes=16, seed=slot)
        slots.begin(slot, request, plan(request))
        assert slots.run(1) == 16
    assert replayed == [1, 2, 4, 5]


def test_graphs_are_of_one_two_four_and_all_blocks() -> None:
    assert [counts_of_blocks(blocks) for blocks in (1, 2, 3, 16)] == [[1], [1, 2], [1, 2, 3], [1, 2, 4, 8, 16]]


@pytest.mark.parametrize(
    ("problem", "known_as"),
    [
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED"), DeviceLost),
        (torch.OutOfMemoryError("CUDA out of memory"), DeviceFull),
    ],
)
def test_a_gpu_that_fails_is_lost_but_not_one_that_is_full(
    monkeypatch: pytest.MonkeyPatch, problem: RuntimeError, known_as: type[RuntimeError]
) -> None:
    slots = slots_of(odd_checkpoint(), 16)
    request = ComposeRequest(length_notes=20, seed=1)
    slots.begin(0, request, plan(request))

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(slots, "_on_gpu", True)
    monkeypatch.setattr(GpuSlots, "_order", fail)
    with pytest.raises(known_as):
        slots.run(8)
    monkeypatch.setattr(GpuSlots, "_fetch", fail)
    with pytest.raises(known_as):  # of a piece that was stopped a moment ago
        slots.tokens(0)


@pytest.mark.parametrize("capability", [80, 90])
def test_the_kernels_compile_for_gpus_that_are_not_here(capability: int, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.engine.batching.compile_kernels", str(capability)],
        env={**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert set(found.stdout.split()) == {
        "layer_step",
        "query_step",
        "look_step",
        "note_step",
        "begin_step",
        "leave_step",
    }


@needs_gpu
def test_a_process_that_is_killed_writes_the_same_again() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    assert isinstance(open_slots(ways(checkpoint, 16)), GpuSlots)
    writer = WriterProcess(checkpoint, Judge.of(checkpoint, Index.load(DEFAULT)), 64, "cuda")
    requests = [ComposeRequest(length_notes=200, seed=seed) for seed in range(20)]
    first = [writer.submit(request, plan(request)).future.result(180) for request in requests]
    wishes = [writer.submit(request, plan(request)) for request in requests]
    time.sleep(0.01)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    assert [wish.future.result(180) for wish in wishes] == first
    writer.close()


def point_beyond_the_memory(begun: int) -> None:
    """The first process looks something up where nothing is, once it has written some notes."""
    run, calls = GpuSlots._run, 0

    def lost(slots: GpuSlots) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            slots._step.weights.row_offsets.fill_(1 << 20)
        return run(slots)

    if begun == 0:
        GpuSlots._run = lost  # type: ignore[method-assign]


@needs_gpu
def test_pieces_survive_a_poisoned_context_and_are_what_they_would_have_been(tmp_path: Path) -> None:
    checkpoint = load_checkpoint(DEFAULT)
    judge = Judge.of(checkpoint, Index.load(DEFAULT))
    requests = [ComposeRequest(length_notes=200, seed=seed) for seed in range(20)]
    found = []
    for each in (judge, Sabotage(judge, tmp_path, point_beyond_the_memory)):
        writer = WriterProcess(checkpoint, each, 64, "cuda")  # type: ignore[arg-type]  # a judge in the child
        wishes = [writer.submit(request, plan(request)) for request in requests]
        found.append([wish.future.result(180) for wish in wishes])
        assert writer._device == "cuda"  # another process could use the GPU
        writer.close()
    assert found[0] == found[1]
    assert len(list(tmp_path.iterdir())) == 2


@needs_gpu
def test_what_a_full_gpu_has_no_room_for_is_written_in_fewer_slots_or_on_the_cpu() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    request = ComposeRequest(length_notes=40, seed=1)
    gc.collect()
    for left, kinds in ((200 << 20, GpuSlots), (24 << 20, NativeSlots | TorchSlots)):
        torch.cuda.empty_cache()
        free, _ = torch.cuda.mem_get_info()
        everything = torch.empty(free - left, dtype=torch.uint8, device="cuda")
        slots = open_slots(ways(checkpoint, 64))
        assert isinstance(slots, kinds)
        assert slots.count < 256
        assert len(piece(slots, 0, request)) == 40
        del everything, slots
        gc.collect()
