"""The index as training and its own command write it, over a real corpus folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from data.__main__ import main as data_main
from data.composer.piece import compose_piece
from data.corpus import corpus_hash, load_corpus
from data.midi import write_midi
from engine.checkpoint import save_checkpoint
from engine.model import NoteLSTM
from engine.model_config import ModelConfig
from engine.originality import Index
from trainer.originality import main


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    music = tmp_path / "music"
    music.mkdir()
    for seed in range(3):
        (music / f"song{seed}.mid").write_bytes(write_midi(compose_piece(seed).score, title=f"Song {seed}"))
    folder = tmp_path / "corpus"
    words = ["--licence", "CC0-1.0", "--credit", "Music by nobody"]
    assert data_main(["add", str(music), *words, "--corpus", str(folder)]) == 0
    return folder


def checkpoint(folder: Path, trained_on: str, **training: str | None) -> Path:
    torch.manual_seed(1)
    corpus, limits = {"hash": trained_on}, {"longest_pitch_run": 4}
    sidecar = {"name": "tiny", "corpus": corpus, "limits": limits, "training": training}
    save_checkpoint(folder, NoteLSTM(ModelConfig(embedding=4, hidden=4, layers=1)), sidecar)
    return folder


def test_a_checkpoint_without_an_index_can_be_given_one(corpus: Path, tmp_path: Path) -> None:
    pieces = load_corpus(corpus)
    folder = checkpoint(tmp_path / "tiny", corpus_hash(pieces))
    assert Index.load(folder) is None
    assert main([str(folder), "--corpus", str(corpus)]) == 0
    index = Index.load(folder)
    assert index is not None
    assert index.check(pieces[0].score).copied_share in {0.0, 1.0}  # 0 where it was held out
    assert sum(index.check(piece.score).copied_share == 1.0 for piece in pieces) == len(index.sources)


def test_an_index_of_other_music_is_refused(corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = checkpoint(tmp_path / "tiny", "another corpus")
    assert main([str(folder), "--corpus", str(corpus)]) == 1
    assert "was not trained on" in caplog.text
    assert Index.load(folder) is None


def test_music_that_a_checkpoint_did_not_begin_with_is_refused(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = checkpoint(tmp_path / "tiny", corpus_hash(load_corpus(corpus)), **{"from": None})
    assert main([str(folder), "--corpus", str(corpus), "--from", str(folder)]) == 1
    assert "leave --from out" in caplog.text
    assert Index.load(folder) is None
