from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from data.controls import CONTROLLED_FINGERPRINT
from data.moods import Mood
from data.tokens import FINGERPRINT
from engine.checkpoint import BUILT_IN, SIDECAR, WEIGHTS, load_checkpoint, save_checkpoint
from engine.errors import CheckpointProblem, StorageProblem
from engine.model import NoteLSTM
from engine.model_config import ModelConfig

TINY = ModelConfig(embedding=8, hidden=8, layers=1)
ABOUT = {"name": "tiny", "limits": {"longest_pitch_run": 3}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_checkpoint(tmp_path / "tiny", NoteLSTM(TINY), dict(ABOUT))
    return tmp_path / "tiny"


def test_a_checkpoint_comes_back_as_it_was_saved(folder: Path) -> None:
    loaded = load_checkpoint(folder)
    torch.manual_seed(0)
    expected = NoteLSTM(TINY).state_dict()
    assert loaded.config == TINY
    assert loaded.longest_pitch_run == 3
    assert loaded.id.startswith("tiny-")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in NoteLSTM.of(loaded).state_dict().items())
    assert sorted(path.name for path in folder.iterdir()) == [SIDECAR, WEIGHTS]


@pytest.mark.parametrize(
    "config",
    [TINY, ModelConfig(), ModelConfig(embedding=12, hidden=20, layers=3, controlled=True, tied=True)],
    ids=["tiny", "v1", "odd"],
)
def test_the_shapes_of_a_model_are_those_of_its_network(config: ModelConfig) -> None:
    network = NoteLSTM(config)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == config.shapes
    assert sum(parameter.numel() for parameter in network.parameters()) == config.parameters


def test_weights_that_half_precision_holds_take_half_the_room_and_come_back_as_they_were(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = NoteLSTM(TINY)
    save_checkpoint(tmp_path / "whole", model, dict(ABOUT))
    model.load_state_dict({name: tensor.half().float() for name, tensor in model.state_dict().items()})
    save_checkpoint(tmp_path / "half", model, dict(ABOUT))
    loaded = NoteLSTM.of(load_checkpoint(tmp_path / "half")).state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32}
    sizes = [(tmp_path / name / WEIGHTS).stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]


def test_a_damaged_checkpoint_is_refused_in_one_sentence(folder: Path) -> None:
    weights = folder / WEIGHTS
    good = weights.read_bytes()
    for bad in (b"", good[:-1], good[:100] + b"\xff" + good[101:], b"junk" * 1000):
        weights.write_bytes(bad)
        with pytest.raises(CheckpointProblem) as caught:
            load_checkpoint(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "tensors",
    [
        NoteLSTM(dataclasses.replace(TINY, hidden=9)).state_dict(),
        NoteLSTM(dataclasses.replace(TINY, layers=2)).state_dict(),
        NoteLSTM(TINY).double().state_dict(),
        NoteLSTM(TINY).bfloat16().state_dict(),
        NoteLSTM(TINY).state_dict() | {"queries.0.bias": torch.full((8,), torch.nan)},
        {},
    ],
)
def test_the_weights_of_another_model_are_refused(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    weights = save(tensors)
    (folder / WEIGHTS).write_bytes(weights)
    sidecar = json.loads((folder / SIDECAR).read_text()) | {"weights_sha256": hashlib.sha256(weights).hexdigest()}
    (folder / SIDECAR).write_text(json.dumps(sidecar))
    with pytest.raises(CheckpointProblem, match="does not hold the model"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "sidecar",
    [
        "",
        "[]",
        "{}",
        "{",
        "[" * 200_000,
        '{"name": 1}',
        '{"config": {"hidden": "x"}, "vocabulary_fingerprint": 1, "weights_sha256": 2}',
    ],
)
def test_a_damaged_sidecar_is_refused(folder: Path, sidecar: str) -> None:
    (folder / SIDECAR).write_text(sidecar)
    with pytest.raises(CheckpointProblem):
        load_checkpoint(folder)


NOT_NUMBERS: tuple[object, ...] = (None, "x", [], -1, 1e308, float("inf"), float("nan"))
WHOLE_STYLE = "0 1 2 1 1 5 2 5 7 6 2"
DAMAGED: list[tuple[str, object]] = [
    *((f"config.{field.name}", value) for field in dataclasses.fields(ModelConfig) for value in NOT_NUMBERS),
    *((f"config.{name}", value) for name in ("embedding", "hidden", "layers") for value in (0, 1.5, True, 10**6)),
    *((f"config.{name}", 1) for name in ("dropout", "weight_dropout", "cache_share", "cache_stay")),
    *(("limits.longest_pitch_run", value) for value in (None, "x", [], 0, -1, 10**12, float("inf"), float("nan"))),
    *(("styles", value) for value in (None, "x", 5, [], True, {"merry": [WHOLE_STYLE]}, {"dark": WHOLE_STYLE})),
    *(
        ("styles.dark", [line])
        for line in (5, "x", "0", "0 1 2 3", WHOLE_STYLE + " 1", WHOLE_STYLE[:-1] + "9", WHOLE_STYLE[:-1] + "-1")
    ),
]


@pytest.mark.parametrize(("place", "value"), DAMAGED)
def test_a_sidecar_with_a_value_that_cannot_be_is_refused_in_one_sentence(
    folder: Path, place: str, value: object
) -> None:
    sidecar = json.loads((folder / SIDECAR).read_text()) | {"styles": {"dark": [WHOLE_STYLE]}}
    (folder / SIDECAR).write_text(json.dumps(sidecar))
    assert len(load_checkpoint(folder).styles[Mood.DARK]) == 1
    *above, name = place.split(".")
    (sidecar[above[0]] if above else sidecar)[name] = value
    (folder / SIDECAR).write_text(json.dumps(sidecar))
    with pytest.raises(CheckpointProblem) as caught:
        load_checkpoint(folder)
    assert "\n" not in str(caught.value)


def test_another_vocabulary_is_refused(folder: Path) -> None:
    sidecar = json.loads((folder / SIDECAR).read_text())
    (folder / SIDECAR).write_text(json.dumps(sidecar | {"vocabulary_fingerprint": "0" * 16}))
    with pytest.raises(CheckpointProblem, match="another note vocabulary"):
        load_checkpoint(folder)


def test_a_missing_checkpoint_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CheckpointProblem, match=r"\./run train"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_failed_save_leaves_the_old_checkpoint(folder: Path) -> None:
    before = load_checkpoint(folder).id
    blocked = folder / WEIGHTS / "below-a-file"
    with pytest.raises(StorageProblem):
        save_checkpoint(blocked, NoteLSTM(TINY), dict(ABOUT))
    assert load_checkpoint(folder).id == before


@pytest.mark.parametrize("replaced", range(3))
def test_a_crash_within_a_save_leaves_no_model_with_the_files_of_another(
    folder: Path, replaced: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(folder, NoteLSTM(TINY), dict(ABOUT), {"index": b"old"})
    old = load_checkpoint(folder).id
    left = [Path.replace] * replaced

    def crashes(self: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        return left.pop()(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crashes)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(folder, NoteLSTM(TINY), dict(ABOUT), {"index": b"new"})
    if replaced:
        with pytest.raises(CheckpointProblem, match="belongs to another"):
            load_checkpoint(folder)
    else:
        assert (load_checkpoint(folder).id, (folder / "index").read_bytes()) == (old, b"old")


def test_v1_is_the_model_of_the_card() -> None:
    checkpoint = load_checkpoint(BUILT_IN / "v1")
    assert checkpoint.config == ModelConfig(embedding=100, hidden=256, layers=2, dropout=0.3)
    lstm = NoteLSTM.of(checkpoint).lstm
    assert (lstm.input_size, lstm.hidden_size, lstm.num_layers) == (100, 256, 2)
    training = checkpoint.sidecar["training"]
    assert (training["learning_rate"], training["batch"], training["sequence_notes"]) == (0.001, 64, 50)
    assert training["epochs"] == 50


@pytest.mark.parametrize("folder", sorted(BUILT_IN.iterdir()), ids=lambda folder: folder.name)
def test_a_shipped_checkpoint_says_what_it_is_and_beats_its_baselines(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    sidecar = checkpoint.sidecar
    assert sidecar["name"] == sidecar["preset"] == folder.name
    controlled = checkpoint.config.controlled
    assert sidecar["vocabulary_fingerprint"] == (CONTROLLED_FINGERPRINT if controlled else FINGERPRINT)
    assert bool(checkpoint.styles) == controlled
    assert sidecar["corpus"]["split_by"] in {"composer", "composer or title"}
    metrics = sidecar["metrics"]
    assert metrics["valid_nats_per_note"] < min(metrics["baselines"].values())
    assert set(metrics["baselines"]) == {"unigram", "5-gram"}
    assert all(path.stat().st_size < 20_000_000 for path in folder.iterdir())


def test_nothing_in_the_shipped_checkpoints_is_pickled() -> None:
    files = [path for path in BUILT_IN.rglob("*") if path.is_file()]
    assert files
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md"}
