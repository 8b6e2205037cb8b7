"""Two real processes under torchrun train one model."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from engine.model_config import ModelConfig
from tests.trainer.test_loop import CPU, SMALL, TRAIN, VALID
from trainer.distributed import Group, OtherStopped, noticing_others
from trainer.loop import Run
from trainer.state import under

ROOT = Path(__file__).resolve().parents[2]
# Three lanes for two processes; with no dropout the result does not depend on how the lanes are shared.
EXACT = dataclasses.replace(SMALL, model=ModelConfig(embedding=12, hidden=24, layers=2, dropout=0.0), batch=3, epochs=2)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, torch.Tensor]]:
    """The weights that each of two processes ended with."""
    folder = tmp_path_factory.mktemp("together")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, ROOT / "tests/trainer/together.py", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [load_file(folder / f"process-{rank}.safetensors") for rank in range(2)]


def test_two_processes_learn_what_one_does(processes: list[dict[str, torch.Tensor]], tmp_path: Path) -> None:
    alone = Run(EXACT, tmp_path, CPU).train(TRAIN, VALID, lambda _: None).model.state_dict()
    together = under("exact/", processes[0])
    assert together.keys() == alone.keys()
    for name, tensor in together.items():
        # Sums of other order; Adam divides what is nearly nothing by what is nearly nothing.
        torch.testing.assert_close(tensor, alone[name], atol=2e-4, rtol=0, msg=name)


def test_every_process_ends_with_the_same_weights(processes: list[dict[str, torch.Tensor]]) -> None:
    for name, tensor in processes[0].items():
        assert torch.equal(tensor, processes[1][name]), name


def test_a_killed_group_goes_on_to_the_same_result(processes: list[dict[str, torch.Tensor]]) -> None:
    whole = under("whole/", processes[0])
    assert whole
    for name, tensor in under("cut/", processes[0]).items():
        assert torch.equal(tensor, whole[name]), name


def test_the_lanes_of_all_processes_are_the_lanes_of_one() -> None:
    state = torch.randn(2, 5, 3)
    shares = [Group(rank, 3).own(state) for rank in range(3)]
    assert [share.shape[1] for share in shares] == [2, 2, 1]
    again = torch.empty_like(state)
    for rank, share in enumerate(shares):
        again[:, rank::3] = share
    assert torch.equal(again, state)


def test_the_end_of_another_process_is_told_in_one_sentence() -> None:
    with pytest.raises(OtherStopped, match="--resume"), noticing_others():
        raise RuntimeError("[pair.cc:553] Connection closed by peer [127.0.0.1]:21384.")
    with pytest.raises(RuntimeError, match="shapes"), noticing_others():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
