"""Which slots this machine gets, and what it gets when those cannot be had."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import CalledProcessError

import pytest
import torch

from engine.batching.native import NativeSlots
from engine.batching.slots import DeviceFull, Slots, _has_gpu, open_slots, ways
from engine.batching.torch_slots import TorchSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.native import build
from engine.plan import plan
from engine.types import ComposeRequest


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load_checkpoint(DEFAULT)


def test_without_a_compiler_notes_are_written_by_pytorch(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", str(tmp_path / "no-such-compiler"))
    monkeypatch.setattr(build, "_FLAGS", (*build._FLAGS, "-DANOTHER_KEY"))  # what is compiled already is not found
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    slots = open_slots(ways(checkpoint, 4, "cpu"))
    assert isinstance(slots, TorchSlots)


def test_pytorch_is_asked_for_a_gpu_only_where_there_is_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for driver, found in (("libno-such-driver.so.1", False), (None, True)):  # None: this very program
        monkeypatch.setattr("engine.batching.slots._CUDA_DRIVER", driver)
        assert _has_gpu() is found


def test_a_pytorch_that_cannot_be_loaded_leaves_the_cpu(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("engine.batching.slots._CUDA_DRIVER", None)  # a driver is there
    monkeypatch.setitem(sys.modules, "torch", None)
    assert isinstance(open_slots(ways(checkpoint, 4)), NativeSlots)
    assert "PyTorch cannot be loaded" in caplog.text


def test_a_missing_gpu_is_no_reason_to_fail(checkpoint: Checkpoint) -> None:
    assert isinstance(open_slots(ways(checkpoint, 4, "cuda")), NativeSlots | TorchSlots)


@pytest.mark.parametrize("problem", [ImportError("No module named 'triton'"), CalledProcessError(1, ["cc"])])
def test_where_the_kernels_of_a_gpu_cannot_be_compiled_the_cpu_is_used(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, problem: Exception
) -> None:
    def fail(*_: object, **__: object) -> Slots:
        raise problem

    monkeypatch.setattr("engine.batching.gpu.slots.GpuSlots", fail)
    assert isinstance(open_slots(ways(checkpoint, 4, "cuda")), NativeSlots | TorchSlots)
    assert "kernels cannot be compiled" in caplog.text


def test_with_too_little_memory_on_the_gpu_fewer_slots_are_tried_and_then_the_cpu(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried: list[int] = []

    def full(_: Checkpoint, count: int) -> Slots:
        tried.append(count)
        if count > room:
            raise DeviceFull("CUDA out of memory.")
        return TorchSlots(checkpoint, 16, block=16)

    monkeypatch.setattr("engine.batching.slots._has_gpu", lambda: True)
    monkeypatch.setattr("engine.batching.slots._on_gpu", full)
    room = 128
    remaining = ways(checkpoint, 64)
    assert isinstance(open_slots(remaining), TorchSlots)
    assert tried == [256, 128]
    assert caplog.text.count("too little memory") == 1
    room = 0  # what had room has none any more: the next ways are asked
    assert isinstance(open_slots(remaining), NativeSlots)
    assert tried == [256, 128, 64]


def test_a_gpu_that_is_full_while_slots_are_made_is_known_for_that(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object, **__: object) -> Slots:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr("engine.batching.gpu.slots.GpuSlots", full)
    assert isinstance(open_slots(ways(checkpoint, 4, "cuda")), NativeSlots | TorchSlots)
    assert "too little memory" in caplog.text


def test_a_model_too_deep_for_the_compiled_step_is_run_by_pytorch() -> None:
    deep = Checkpoint.of(
        "deep-0", NoteLSTM(ModelConfig(embedding=16, hidden=16, layers=9)), {"limits": {"longest_pitch_run": 3}}
    )
    slots = open_slots(ways(deep, 4, "cpu"))
    assert isinstance(slots, TorchSlots)
    request = ComposeRequest(length_notes=20, seed=1)
    slots.begin(0, request, plan(request))
    while slots.run(20):
        pass
    assert slots.tokens(0).shape == (20, 5)
