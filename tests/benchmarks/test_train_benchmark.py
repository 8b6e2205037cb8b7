from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from benchmarks import limits, train
from trainer.config import PRESETS


def test_steps_of_training_are_timed_beside_matrix_products(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(train, "_AT_LEAST_S", 0.0)
    monkeypatch.setattr(limits, "_SIZES", {"cpu": (64,), "cuda": (64,)})
    assert train.main(["--json", "--rounds", "1", "--presets", "v1"]) == 0
    torch.set_flush_denormal(False)
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {(row["preset"], row["precision"]) for row in rows} >= {("v1", "float32")}
    for row in rows:
        flops_per_note = 6 * limits.multiplied(PRESETS[row["preset"]].model)
        assert row["gflops_per_s"] == pytest.approx(row["notes_per_s"] * flops_per_note / 1e9)
        assert row["share_of_gemm"] == pytest.approx(row["gflops_per_s"] / row["gemm_gflops_per_s"], abs=1e-3)


def test_a_step_moves_the_weights() -> None:
    training = train.Training(PRESETS["v1"], torch.device("cpu"), "float32")
    before = {name: tensor.clone() for name, tensor in training.run.model.state_dict().items()}
    training.notes_per_s()
    assert any(not torch.equal(tensor, before[name]) for name, tensor in training.run.model.state_dict().items())


def test_a_small_share_is_rounded_once() -> None:
    share = 1016.7 / 676749.2
    row = train.Row("v1", "cuda", "bfloat16", 163770.4, 1016.7, 676749.2, round(share, 4))
    shown = train.table({"rows": [dataclasses.asdict(row)]}).splitlines()[-1].split("|")[-2]
    assert float(shown.removesuffix(" % ")) == pytest.approx(100 * share, rel=0.01)
