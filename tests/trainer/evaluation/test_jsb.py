from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from data.errors import CorpusProblem
from data.tokens import DELTA, PITCH, REMAINING
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from trainer.evaluation.__main__ import main
from trainer.evaluation.jsb import CONFIG, Frames, frame_nats, read_rolls, run, to_example, transpositions

PIECE: Frames = [[60, 64, 67, 72], [60, 65, 69, 72], [], [59, 62, 67], [60, 64, 67, 72]]
SMALL = dataclasses.replace(
    CONFIG,
    model=ModelConfig(embedding=16, hidden=24, layers=1, dropout=0.0, variational=True),
    epochs=3,
    batch=4,
    learning_rate=2e-2,
    averaging=0.0,
)


def rolls(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    sides = {
        side: [[[60, 64, 67 + int(rng.integers(3))], [59, 62, 67]] * 8 for _ in range(count)]
        for side, count in (("train", 2), ("valid", 1), ("test", 1))
    }
    path = folder / "rolls.json"
    path.write_text(json.dumps(sides))
    return path


def test_frames_become_tokens_that_say_where_each_frame_ends() -> None:
    example = to_example(PIECE)
    assert example.tokens[:, PITCH].tolist() == [pitch - 21 for frame in PIECE for pitch in frame] + [0]
    steps = [0, 0, 0, 0, 12, 0, 0, 0, 24, 0, 0, 12, 0, 0, 0, 12]
    deltas = [0 if step == 0 else {12: 8, 24: 14}[step] for step in steps]
    assert example.tokens[:, DELTA].tolist() == deltas
    assert to_example([[], [60]]).tokens[0, DELTA] == 8


def test_the_future_is_not_told() -> None:
    example = to_example(PIECE)
    assert len(set(example.conditions[:, REMAINING].tolist())) == 1
    for cut in range(1, len(PIECE)):
        start = to_example(PIECE[:cut])
        notes = len(start.tokens) - 1
        np.testing.assert_array_equal(start.conditions[:notes], example.conditions[:notes])


def test_the_probabilities_of_different_frames_sum_to_less_than_one() -> None:
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1)).requires_grad_(requires_grad=False)
    model.outputs[PITCH].bias[2:] -= 1e3  # two pitches are left: three frames are possible
    model.outputs[DELTA].bias[[d for d in range(32) if d not in {0, 8}]] -= 1e3
    for attribute, value in ((0, 5), (3, 7), (4, 8)):  # part, duration and velocity are certain
        model.outputs[attribute].bias[value] += 1e3
    probabilities = [math.exp(-frame_nats(model, [[frame]])) for frame in ([21], [22], [21, 22])]
    # The rest is an empty frame, and notes that descend or repeat: what no frame has, a model has to unlearn.
    assert 0.1 < sum(probabilities) < 1
    assert probabilities[2] < probabilities[0]


def test_a_model_that_knows_nothing_pays_for_every_choice() -> None:
    model = NoteLSTM(ModelConfig(embedding=8, hidden=16, layers=1))
    for parameter in model.parameters():
        torch.nn.init.zeros_(parameter)
    uniform = math.log(11 * 32 * 88 * 31 * 16)
    expected = uniform * 2 + math.log(11) - math.log((32 - 8) / 32)
    assert frame_nats(model, [[[60, 64]]]) == pytest.approx(expected, rel=1e-5)
    assert frame_nats(model, [[[60, 64]], [[60, 64]]]) == pytest.approx(expected, rel=1e-5)


def test_every_key_that_fits_is_trained_on() -> None:
    assert len(transpositions([PIECE])) == 12
    assert len(transpositions([[[21, 60]]])) == 6
    assert {int(e.tokens[0, PITCH]) for e in transpositions([PIECE])} == {60 - 21 + shift for shift in range(-6, 6)}


def test_the_benchmark_learns_and_goes_on_after_an_interruption(tmp_path: Path) -> None:
    path = rolls(tmp_path)
    before = frame_nats(NoteLSTM(SMALL.model), read_rolls(path)["test"])
    whole = run(read_rolls(path), tmp_path / "whole", lambda _: None, config=SMALL)
    assert whole.test < 0.7 * before

    def interrupt(report: object) -> None:
        if getattr(report, "epoch", 0) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(read_rolls(path), tmp_path / "cut", interrupt, config=SMALL)
    resumed = run(read_rolls(path), tmp_path / "cut", lambda _: None, config=SMALL)
    assert (resumed.valid, resumed.test) == (whole.valid, whole.test)


def test_what_is_no_piano_roll_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for content in (
        "no json",
        "{}",
        '{"train": 1, "valid": [], "test": []}',
        '{"train": [[[200]]], "valid": [], "test": []}',
    ):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(CorpusProblem):
            read_rolls(tmp_path / "bad.json")
    with pytest.raises(CorpusProblem, match="silence"):
        to_example([[60], *[[]] * 40, [60]])
    assert main(["--benchmark", "jsb", str(tmp_path / "none.json")]) == 1
    assert main(["--benchmark", "nope", str(tmp_path / "none.json")]) == 78
    assert "cannot be read" in caplog.text
