"""`python -m trainer.measure`: an older checkpoint is measured and described as a new one would be."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from data.corpus import load_corpus
from data.split import split_by_composer
from engine.checkpoint import SIDECAR, load_checkpoint, save_checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from trainer.__main__ import main as train
from trainer.cache import held_out_nats
from trainer.card import CARD
from trainer.card import main as write_card
from trainer.config import PRESETS
from trainer.measure import main
from trainer.originality import build_index
from trainer.originality import main as add_index
from trainer.pipeline import prepare

ABOUT = {"name": "small", "limits": {"longest_pitch_run": 5}, "corpus": {"sources": []}}


@pytest.fixture(autouse=True)
def _denormals_as_before() -> Iterator[None]:
    yield
    torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with a cache, to be fine-tuned by a preset that has none."""
    folder = tmp_path_factory.mktemp("start")
    torch.manual_seed(1)
    model = NoteLSTM(ModelConfig(embedding=12, hidden=16, layers=1, cache_share=0.3, cache_stay=0.9))
    save_checkpoint(folder, model, ABOUT)
    return folder


@pytest.fixture(scope="module")
def finished(corpus: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    words: list[Any] = ["--preset", "v1", "--corpus", corpus, "--from", start, "--out", folder, "--epochs", 1]
    assert train([str(word) for word in [*words, "--device", "cpu", "--progress", "jsonl"]]) == 0
    return folder


def about(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / SIDECAR).read_text(encoding="utf-8"))
    return told


def contents(folder: Path) -> dict[str, str]:
    """The digest of each file of a checkpoint."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir() if file.is_file()}


def test_a_fine_tuned_checkpoint_with_a_cache_has_it_tuned_anew(corpus: Path, finished: Path) -> None:
    checkpoint = load_checkpoint(finished)
    metrics = checkpoint.sidecar["metrics"]
    valid = prepare(corpus, PRESETS["v1"]).valid
    model = NoteLSTM.of(checkpoint)
    assert sum(held_out_nats(model, valid)) == pytest.approx(metrics["valid_nats_per_note"], abs=1e-4)
    model.config = dataclasses.replace(model.config, cache_share=0.0)
    without = sum(held_out_nats(model, valid))
    assert without == pytest.approx(metrics["valid_nats_per_note_without_cache"], abs=1e-4)
    assert metrics["valid_nats_per_note"] < without - 0.1


def test_what_an_older_trainer_did_not_say_is_written_and_the_rest_stays(
    corpus: Path, start: Path, finished: Path
) -> None:
    before = about(finished)
    old = json.loads(json.dumps(before))
    for name in ("test_nats_per_note", "test_nats_per_note_by_source", "baselines_test"):
        del old["metrics"][name]
    del old["limits"]["bands"]
    old["config"] |= {"cache_share": 0.0, "guidance": 7.0}
    (finished / SIDECAR).write_text(json.dumps(old), encoding="utf-8")
    (finished / CARD).unlink()
    assert main([str(finished), "--corpus", str(corpus), "--from", str(start)]) == 0
    after = about(finished)
    plain = "valid_nats_per_note_without_cache"  # training adds up in another order
    assert after["metrics"].pop(plain) == pytest.approx(before["metrics"].pop(plain), abs=1e-4)
    assert after == before
    assert (finished / CARD).is_file()


def test_held_out_pieces_that_were_learnt_before_are_told(
    corpus: Path, start: Path, finished: Path, tmp_path: Path
) -> None:
    assert about(finished)["corpus"]["held_out_learnt_before"] is None
    assert "may be among what is measured" in (finished / CARD).read_text(encoding="utf-8")
    knows, folder = shutil.copytree(start, tmp_path / "knows"), shutil.copytree(finished, tmp_path / "tuned")
    split = split_by_composer(load_corpus(corpus))
    build_index([*split.train, *split.test]).save(knows)
    assert main([str(folder), "--corpus", str(corpus), "--from", str(knows)]) == 0
    assert about(folder)["corpus"]["held_out_learnt_before"] == {"valid": 0, "test": 1}
    assert "had learnt before: 0 of 1 (validation), 1 of 1 (test)." in (folder / CARD).read_text(encoding="utf-8")


def test_a_failed_save_leaves_the_whole_of_the_old_checkpoint(
    corpus: Path, start: Path, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = shutil.copytree(finished, tmp_path / "old")
    build_index([]).save(folder)
    before = contents(folder)
    in_the_way = folder / f".{SIDECAR}.{os.getpid()}.tmp"
    in_the_way.mkdir()
    assert main([str(folder), "--corpus", str(corpus), "--from", str(start)]) == 1
    assert "could not be written" in caplog.messages[-1]
    in_the_way.rmdir()
    assert contents(folder) == before


def test_what_a_checkpoint_says_is_kept_unless_all_of_its_music_is_named(
    corpus: Path, start: Path, finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    smaller = shutil.copytree(corpus, tmp_path / "smaller")
    rows = (smaller / "catalogue.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
    (smaller / "catalogue.tsv").write_text("".join(rows[:-1]), encoding="utf-8")
    before = contents(finished)
    came_from = f"was fine-tuned from {load_checkpoint(start).id}: name its folder with --from."
    for command in (main, add_index):
        for words, says in (
            (["--corpus", str(smaller), "--from", str(start)], "was not trained on the corpus"),
            (["--corpus", str(corpus)], came_from),
            (["--corpus", str(corpus), "--from", str(finished)], came_from),
        ):
            assert command([str(finished), *words]) == 1
            assert says in caplog.messages[-1]
    assert contents(finished) == before


def test_a_missing_corpus_is_one_sentence(finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = (finished / SIDECAR).read_bytes()
    assert main([str(finished), "--corpus", str(tmp_path / "none")]) == 1
    assert "none" in caplog.messages[-1]
    assert (finished / SIDECAR).read_bytes() == before


def test_a_checkpoint_that_does_not_say_how_it_was_made_is_one_sentence(
    corpus: Path, start: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert main([str(start), "--corpus", str(corpus)]) == 1
    assert "does not say how it was trained" in caplog.messages[-1]
    assert write_card([str(start)]) == 1
    assert "does not say what a card tells" in caplog.messages[-1]
    assert not (start / CARD).exists()
