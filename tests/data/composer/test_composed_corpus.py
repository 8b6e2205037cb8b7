"""A corpus is the same however it is made, and can be read back."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from data.composer.__main__ import main
from data.composer.corpus import COLUMNS, compose_corpus, piece_seed, write_corpus
from data.composer.piece import compose_piece
from data.composer.variety import sharing
from data.midi import read_midi
from data.moods import MOODS


def test_a_pool_of_processes_gives_the_same_pieces() -> None:
    assert list(compose_corpus(10, 3, workers=2)) == list(compose_corpus(10, 3, workers=1))


def test_a_longer_corpus_begins_with_the_same_pieces_and_each_can_be_composed_alone() -> None:
    longer = list(compose_corpus(9, 3, workers=1))
    assert list(compose_corpus(4, 3, workers=1)) == longer[:4]
    assert compose_piece(piece_seed(3, 8), MOODS[8 % len(MOODS)]) == longer[8]


def test_moods_take_turns() -> None:
    assert [piece.mood for piece in compose_corpus(8, 1, workers=1)] == list(MOODS)


def test_midi_files_are_written_with_a_catalogue(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    write_corpus(folder, 8, 2, workers=1)
    with (folder / "catalogue.tsv").open(encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    for row, piece in zip(rows, compose_corpus(8, 2, workers=1), strict=True):
        content = (folder / row["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row["sha256"]
        assert (row["licence"], row["mood"], row["title"]) == ("CC0-1.0", str(piece.mood), piece.title)
        read = read_midi(content)
        assert read.score == piece.score
        assert read.title == piece.title
        assert any("CC0-1.0" in text for text in read.texts)


def test_pieces_of_another_length_are_written_and_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_corpus(tmp_path, 8, 2, workers=1, scale=0.5)
    shorter = list(compose_corpus(8, 2, 1, scale=0.5))
    written = [read_midi(path.read_bytes()).score for path in sorted(tmp_path.glob("*.mid"))]
    assert written == [piece.score for piece in shorter]
    assert sum(score.duration_s for score in written) < 0.7 * sum(
        piece.score.duration_s for piece in compose_corpus(8, 2, 1)
    )
    assert main(["--count", "8", "--seed", "2", "--workers", "1", "--scale", "0.5"]) == 0
    assert f"8 pieces, {sum(len(score.notes) for score in written):,} notes" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--seed", "-1"], ["--count", "1"], ["--scale", "0.1"], ["--scale", "nan"]])
def test_impossible_numbers_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)


def test_the_report_shows_every_mood(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--count", "16", "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(mood in shown for mood in MOODS)
    assert "8-interval n-grams" in shown


def test_sharing_finds_the_copy() -> None:
    runs = [frozenset(range(start, start + 100)) for start in (0, 1000, 2000)]
    found = sharing([*runs, frozenset(range(1050, 1100))])
    assert found.maximum == 1.0
    assert found.pairs == 6


def test_sharing_needs_two_pieces() -> None:
    with pytest.raises(ValueError, match="two pieces"):
        sharing([frozenset({1})])
