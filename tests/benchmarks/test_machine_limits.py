"""What the benchmarks count by hand is what PyTorch counts."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import limits
from data.tokens import ATTRIBUTES
from engine.batching.torch_step import DeviceWeights, TorchBlock
from engine.batching.weights import step_weights
from engine.checkpoint import DEFAULT, load_checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig

SHAPES = [ModelConfig(), ModelConfig(embedding=12, hidden=20, layers=3, controlled=True)]


@pytest.mark.parametrize("config", SHAPES, ids=["v1", "odd"])
def test_the_parameters_that_are_multiplied_are_all_matrices_but_the_embeddings(config: ModelConfig) -> None:
    matrices = [
        parameter.numel()
        for module in NoteLSTM(config).modules()
        if isinstance(module, torch.nn.LSTM | torch.nn.Linear)
        for parameter in module.parameters()
        if parameter.ndim == 2
    ]
    assert limits.multiplied(config) == sum(matrices)


def test_the_flops_of_a_step_are_those_that_pytorch_counts() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    block = TorchBlock(DeviceWeights(step_weights(checkpoint), torch.device("meta"), torch.float16), 64, run_limit=9)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        block.step()
    # The step's heads are a few values wider than their attributes.
    assert limits.step_flops(checkpoint.config, 64) == pytest.approx(counter.get_total_flops(), rel=0.02)


def test_the_bytes_of_a_step_are_the_weights_and_what_each_slot_keeps() -> None:
    config = load_checkpoint(DEFAULT).config
    one, two = (limits.step_bytes(config, slots, torch.float16) for slots in (1, 2))
    keys = 1024 * 384 * 2
    states = 2 * 2 * 2 * 384 * (2 + 4)  # rows, layers, read and written
    assert two - one == keys + states
    values = sum(attribute.size for attribute in ATTRIBUTES)
    assert one - (two - one) == 2 * (4 * 384 * (384 + 768) + 5 * 128 * 384 + 128 * values)


def test_what_the_machine_can_do_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SIZES", {"cpu": (64,)})
    monkeypatch.setattr(limits, "_COPIED_BYTES", {"cpu": 1 << 16})
    monkeypatch.setattr(limits, "_AT_LEAST_S", 0.0)
    cpu = torch.device("cpu")
    assert limits.copying(cpu)() > 0
    assert [square() > 0 for square in limits.gemm(cpu, torch.float32)] == [True]
