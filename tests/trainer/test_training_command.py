"""`./run train` from a corpus to a checkpoint."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data.__main__ import main as data_command
from data.composer.corpus import write_corpus
from engine.checkpoint import load_checkpoint, save_checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import Index
from trainer import loop, pipeline
from trainer.__main__ import main, parser
from trainer.card import CARD
from trainer.config import PRESETS
from trainer.loop import Run

LEARNT = [{"source": "elsewhere", "licence": "CC-BY-4.0", "pieces": 7, "credits": ["Somebody"]}]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a shape that no preset has."""
    folder = tmp_path_factory.mktemp("start")
    model = NoteLSTM(ModelConfig(embedding=12, hidden=16, layers=1, dropout=0.1))
    save_checkpoint(folder, model, {"name": "small", "limits": {"longest_pitch_run": 5}, "corpus": {"sources": LEARNT}})
    return folder


@pytest.fixture(autouse=True)
def _denormals_as_before() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


def command(corpus: Path, start: Path, out: Path, *more: str) -> list[str]:
    words: list[Any] = ["--preset", "v2", "--corpus", corpus, "--from", start, "--out", out, "--epochs", 2]
    return [str(word) for word in [*words, "--device", "cpu", "--progress", "jsonl", *more]]


def test_a_checkpoint_of_any_shape_is_fine_tuned_and_says_what_it_learnt_before(
    corpus: Path, start: Path, tmp_path: Path
) -> None:
    assert main(command(corpus, start, tmp_path)) == 0
    tuned = load_checkpoint(tmp_path)
    shape = tuned.config
    assert (shape.embedding, shape.hidden, shape.layers, shape.controlled) == (12, 16, 1, False)
    assert shape.dropout == PRESETS["v2"].model.dropout
    assert tuned.sidecar["training"]["from"] == load_checkpoint(start).id
    assert tuned.sidecar["corpus"]["before"] == LEARNT
    assert tuned.sidecar["corpus"]["split_by"] == "title"  # the program's pieces have no composer
    assert tuned.sidecar["corpus"]["sources"][0]["credits"] == ["The program"]
    assert 'license: "cc-by-4.0"' in (tmp_path / CARD).read_text(encoding="utf-8")
    assert Index.load(tmp_path) is not None
    assert list((tmp_path / "tensorboard").glob("*tfevents*"))
    assert not (tmp_path / "training.safetensors").exists()


def test_an_interrupted_run_is_resumed_to_the_same_checkpoint_and_never_overwritten(
    corpus: Path, start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert main(command(corpus, start, tmp_path / "whole", "--resume")) == 0
    assert "this one begins anew" in caplog.text
    monkeypatch.setattr(loop, "SAVE_EVERY_S", 0.0)
    steps = 0

    def interrupted(self: Run, batch: Any) -> float:
        nonlocal steps
        steps += 1
        if steps == 4:
            raise KeyboardInterrupt
        return step(self, batch)

    step = Run.step
    with monkeypatch.context() as patch:
        patch.setattr(Run, "step", interrupted)
        assert main(command(corpus, start, tmp_path / "cut")) == 130
    assert main(command(corpus, start, tmp_path / "cut")) == 78
    assert "add --resume" in caplog.text
    assert main(command(corpus, start, tmp_path / "cut", "--resume")) == 0
    whole, cut = (load_checkpoint(tmp_path / name) for name in ("whole", "cut"))
    assert cut.id == whole.id
    assert cut.sidecar["metrics"] == whole.sidecar["metrics"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--epochs", "0"], "--epochs is at least 1."),
        (["--seed", "-1"], "--seed is 0 to 4294967295."),
        (["--threads", "0"], "--threads is at least 1."),
    ],
)
def test_a_number_out_of_range_is_one_sentence(
    words: list[str], says: str, corpus: Path, start: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([*command(corpus, start, tmp_path / "out"), *words]) == 78
    assert caplog.messages == [says]
    assert not (tmp_path / "out").exists()


def test_more_pieces_than_can_be_indexed_are_refused_before_the_training(
    corpus: Path, start: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PIECES_MAX", 3)
    assert main(command(corpus, start, tmp_path / "out")) == 78
    assert "more than 3 pieces to train on" in caplog.messages[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("device", ["nonsense", "cuda"])
def test_a_device_that_is_not_there_is_refused(
    device: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        main(["--device", device])
    assert "argument --device" in capsys.readouterr().err


def test_one_persons_own_pieces_are_enough_to_fine_tune_on(start: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "midi", 8, 5, 1, scale=0.3)
    add = ["add", str(tmp_path / "midi"), "--licence", "LicenseRef-Own", "--credit", "Me", "--composer", "Ada Lovelace"]
    assert data_command([*add, "--corpus", str(tmp_path / "corpus")]) == 0
    assert main([*command(tmp_path / "corpus", start, tmp_path / "out"), "--epochs", "1"]) == 0
    assert load_checkpoint(tmp_path / "out").sidecar["corpus"]["split_by"] == "title"


def test_a_corpus_with_a_damaged_file_is_refused_in_one_sentence(
    corpus: Path, start: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = tmp_path / "corpus"
    damaged.mkdir()
    (damaged / "catalogue.tsv").write_bytes((corpus / "catalogue.tsv").read_bytes())
    (damaged / "midi").mkdir()
    files = sorted((corpus / "midi").iterdir())
    for file in files:
        (damaged / "midi" / file.name).write_bytes(file.read_bytes())
    (damaged / "midi" / files[3].name).write_bytes(files[3].read_bytes()[:100])
    assert main(command(damaged, start, tmp_path / "out")) == 1
    assert f"{files[3].name}" in caplog.messages[-1]
    assert "add that file again" in caplog.messages[-1]
    assert not (tmp_path / "out").exists()


def test_the_documented_commands_are_understood() -> None:
    text = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    commands = re.findall(r"^\./run train (.*?)(?:  +#.*)?$", text, flags=re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        if "--help" not in command:
            parser().parse_args(shlex.split(command))
