from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from data.tokens import ATTRIBUTES, conditions
from engine.checkpoint import Checkpoint
from engine.errors import CheckpointProblem, StorageProblem
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from trainer.config import PRESETS, TrainConfig
from trainer.dataset import Example
from trainer.loop import Report, Run, TrainingDiverged, evaluate
from trainer.state import random_state, read_state, set_random_state, write_state

CPU = torch.device("cpu")
SMALL = TrainConfig(
    name="small", model=ModelConfig(embedding=12, hidden=24, layers=2), epochs=4, batch=4, sequence_notes=10
)


def pieces(count: int, seed: int) -> list[Example]:
    rng = np.random.default_rng(seed)
    result = []
    for _ in range(count):
        phrase = np.stack([rng.integers(0, min(6, attribute.size), 9) for attribute in ATTRIBUTES], axis=1)
        tokens = np.concatenate([phrase] * 5)
        result.append(Example(tokens, conditions(tokens, mood=None, mode=None, tempo_bpm=60)))
    return result


SMALL_V2 = dataclasses.replace(
    SMALL,
    model=ModelConfig(embedding=12, hidden=24, layers=2, variational=True, weight_dropout=0.2, tied=True),
    weight_decay=0.01,
    warm_up=0.1,
    final_rate=0.05,
    averaging=0.9,
)
TRAIN, VALID = pieces(8, 1), pieces(3, 2)


class Killed(BaseException):
    pass


def test_training_learns_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    reports: list[Report] = []
    trained = Run(SMALL, tmp_path, CPU).train(TRAIN, VALID, reports.append)
    valid = [report.valid_nats for report in reports if report.valid_nats is not None]
    assert len(valid) == 4
    assert valid[-1] < valid[0]
    assert trained.valid_nats == min(valid)
    assert sum(evaluate(trained.model, VALID, SMALL, CPU)) == pytest.approx(min(valid), abs=1e-6)


def test_a_short_run_does_not_end_near_the_weights_that_it_began_with(tmp_path: Path) -> None:
    config = dataclasses.replace(SMALL, averaging=0.998)
    begun = Run(config, tmp_path, CPU).model.state_dict()
    run = Run(config, tmp_path, CPU)
    kept = run.train(TRAIN, VALID, lambda _: None).model.state_dict()
    ended = run.model.state_dict()
    to_end, to_begin = (sum(float((kept[n] - other[n]).norm()) for n in kept) for other in (ended, begun))
    assert to_end < to_begin


def test_the_same_seed_gives_the_same_checkpoint(tmp_path: Path) -> None:
    first, second = (Run(SMALL, tmp_path / str(i), CPU).train(TRAIN, VALID, lambda _: None) for i in range(2))
    for name, tensor in first.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name]), name


def test_weights_to_begin_with_change_nothing_that_the_seed_decides(tmp_path: Path) -> None:
    drawn = []
    for start in (None, Checkpoint.of("start-0", NoteLSTM(SMALL.model), {})):
        Run(SMALL, tmp_path, CPU, start=start)
        drawn.append(torch.rand(8))  # as dropout would
    assert torch.equal(*drawn)


@pytest.mark.parametrize(("config", "steps"), [(SMALL, 1), (SMALL, 12), (SMALL_V2, 7), (SMALL_V2, 30)])
def test_a_killed_run_goes_on_to_the_same_result(
    tmp_path: Path, config: TrainConfig, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.loop.SAVE_EVERY_S", 0.0)  # after each batch
    whole = Run(config, tmp_path / "whole", CPU).train(TRAIN, VALID, lambda _: None)
    done = 0

    def killed(self: Run) -> None:
        nonlocal done
        save(self)
        done += 1
        if done == steps:
            raise Killed

    save = Run.save
    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", killed)
        with pytest.raises(Killed):
            Run(config, tmp_path / "cut", CPU).train(TRAIN, VALID, lambda _: None)
    torch.manual_seed(999)  # a new process has another global state
    resumed = Run(config, tmp_path / "cut", CPU)
    assert resumed.resumable
    resumed.resume()
    result = resumed.train(TRAIN, VALID, lambda _: None)
    assert (result.best_epoch, result.valid_nats) == (whole.best_epoch, whole.valid_nats)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, result.model.state_dict()[name]), name


def test_a_run_that_was_begun_on_a_gpu_goes_on_without_one(tmp_path: Path) -> None:
    run = Run(SMALL, tmp_path, CPU)
    run.save()
    whole = run.train(TRAIN, VALID, lambda _: None).model.state_dict()
    run = Run(SMALL, tmp_path, CPU)
    run.save()
    file = tmp_path / "training.safetensors"
    tensors, metadata = read_state(file)
    of_gpu = torch.zeros(1, 16, dtype=torch.uint8)
    write_state(file, tensors | {"random": torch.cat([tensors["random"], of_gpu], dim=1)}, metadata)
    torch.manual_seed(999)
    resumed = Run(SMALL, tmp_path, CPU)
    resumed.resume()
    for name, tensor in resumed.train(TRAIN, VALID, lambda _: None).model.state_dict().items():
        assert torch.equal(tensor, whole[name]), name


def test_a_state_that_was_kept_without_a_gpu_leaves_that_of_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda *_: pytest.fail("there is no state for it"))
    state = random_state(CPU)
    set_random_state(state, torch.device("cuda"))
    assert torch.equal(random_state(CPU), state)


def test_a_damaged_or_foreign_state_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run = Run(SMALL, tmp_path, CPU)
    run.save()
    state = tmp_path / "training.safetensors"
    whole = state.read_bytes()
    with pytest.raises(CheckpointProblem, match="preset"):
        Run(dataclasses.replace(SMALL, model=ModelConfig(embedding=12, hidden=20, layers=2)), tmp_path, CPU).resume()
    state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointProblem, match="delete"):
        Run(SMALL, tmp_path, CPU).resume()


def test_a_run_is_not_resumed_with_other_music_or_another_configuration(tmp_path: Path) -> None:
    def interrupted(report: Report) -> None:
        if report.epoch == 2:
            raise Killed

    with pytest.raises(Killed):
        Run(SMALL, tmp_path, CPU).train(TRAIN, VALID, interrupted)
    kept = (tmp_path / "training.safetensors").read_bytes()
    start = Checkpoint.of("start-0", NoteLSTM(SMALL.model), {})
    for config, train, begin in (
        (SMALL, TRAIN[:-1], None),
        (dataclasses.replace(SMALL, seed=2), TRAIN, None),
        (SMALL, TRAIN, start),  # else the new checkpoint would not say what the old one had learnt
    ):
        resumed = Run(config, tmp_path, CPU, start=begin)
        resumed.resume()
        with pytest.raises(CheckpointProblem, match="another corpus, preset, seed"):
            resumed.train(train, VALID, lambda _: None)
    assert (tmp_path / "training.safetensors").read_bytes() == kept


def test_a_loss_that_is_no_number_stops_with_one_sentence(tmp_path: Path) -> None:
    run = Run(dataclasses.replace(SMALL, learning_rate=float("inf")), tmp_path, CPU)
    with pytest.raises(TrainingDiverged, match="learning rate"):
        run.train(TRAIN, VALID, lambda _: None)


def test_a_gradient_that_is_no_number_leaves_the_weights_as_they_were(tmp_path: Path) -> None:
    run = Run(SMALL, tmp_path, CPU)
    before = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    run.model.queries[0].weight.register_hook(lambda gradient: gradient * float("nan"))  # the loss itself is finite
    with pytest.raises(TrainingDiverged, match="gradient"):
        run.train(TRAIN, VALID, lambda _: None)
    assert all(torch.equal(tensor, before[name]) for name, tensor in run.model.state_dict().items())


def test_a_disk_that_cannot_be_written_stops_with_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageProblem):
        Run(SMALL, tmp_path / "file", CPU).train(TRAIN, VALID, lambda _: None)


def test_preset_v1_is_the_card() -> None:
    v1 = PRESETS["v1"]
    assert (v1.model.embedding, v1.model.hidden, v1.model.layers, v1.model.dropout) == (100, 256, 2, 0.3)
    assert (v1.learning_rate, v1.batch, v1.sequence_notes, v1.epochs) == (0.001, 64, 50, 50)


def test_the_learning_rate_warms_up_and_falls_like_a_cosine() -> None:
    config = TrainConfig(learning_rate=1.0, warm_up=0.1, final_rate=0.2)
    assert [round(config.rate(done), 6) for done in (0.0, 0.05, 0.1, 0.55, 1.0)] == [0.0, 0.5, 1.0, 0.6, 0.2]
    late = TrainConfig(learning_rate=1.0, warm_up=0.1, cool_down=0.4, final_rate=0.2)
    assert [round(late.rate(done), 6) for done in (0.05, 0.1, 0.6, 0.8, 1.0)] == [0.5, 1.0, 1.0, 0.6, 0.2]
    assert dataclasses.replace(late, cool_down=0.0).rate(1.0) == 1.0
    assert {PRESETS["v1"].rate(done / 10) for done in range(11)} == {0.001}
