"""`python -m trainer.ablations`: one row for each choice."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.ablations import main, variants


def test_the_rows_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert capsys.readouterr().out.splitlines() == list(variants())


def test_training_wants_a_corpus(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "--corpus is needed" in capsys.readouterr().err


def test_a_missing_corpus_or_checkpoint_is_one_sentence(
    corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--corpus", str(tmp_path / "none")]) == 1
    assert main(["--corpus", str(corpus), "--from", str(tmp_path / "nowhere")]) == 1
    assert [message.partition(" in ")[0] for message in caplog.messages] == [
        "There is no music",
        "There is no checkpoint",
    ]
    assert capsys.readouterr().out == ""
