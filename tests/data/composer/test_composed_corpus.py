"""A corpus is the same however it is made, and can be read back."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import pytest

from data.composer import compose_corpus, compose_piece, write_corpus
from data.composer.__main__ import main
from data.composer.corpus import COLUMNS, piece_seed
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


def test_the_command_writes_midi_files_with_a_catalogue(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    assert main(["--count", "8", "--seed", "2", "--out", str(folder), "--workers", "1"]) == 0
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


def test_writing_again_leaves_no_stale_pieces_and_nobody_elses_files_harmed(tmp_path: Path) -> None:
    (tmp_path / "mine.mid").write_bytes(b"not listed")
    write_corpus(tmp_path, 6, 1, workers=1)
    write_corpus(tmp_path, 2, 2, workers=1)
    left = {path.name for path in tmp_path.glob("*.mid")}
    with (tmp_path / "catalogue.tsv").open(encoding="utf-8", newline="") as table:
        listed = {row["file"] for row in csv.DictReader(table, delimiter="\t")}
    assert left == {*listed, "mine.mid"}


def test_the_command_writes_and_measures_pieces_of_another_length(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--count", "8", "--seed", "2", "--workers", "1", "--scale", "0.5"]
    assert main([*arguments, "--out", str(tmp_path)]) == 0
    shorter = list(compose_corpus(8, 2, 1, scale=0.5))
    written = [read_midi(path.read_bytes()).score for path in sorted(tmp_path.glob("*.mid"))]
    assert written == [piece.score for piece in shorter]
    assert sum(score.duration_s for score in written) < 0.7 * sum(
        piece.score.duration_s for piece in compose_corpus(8, 2, 1)
    )
    assert main(["report", *arguments]) == 0
    assert f"8 pieces, {sum(len(score.notes) for score in written):,} notes" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert main(["--count", "1", "--out", str(blocked / "own"), "--workers", "1"]) == 1
    assert "could not be written" in capsys.readouterr().err.replace("\n", " ")


IMPOSSIBLE = [["--count", "0"], ["--seed", "-1"], ["report", "--count", "1"], ["--scale", "0.1"], ["--scale", "nan"]]


@pytest.mark.parametrize("arguments", IMPOSSIBLE)
def test_impossible_numbers_are_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)


def test_the_report_shows_every_mood(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "--count", "16", "--workers", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(mood in shown for mood in MOODS)
    assert "8-interval n-grams" in shown


def test_sharing_finds_the_copy() -> None:
    runs = [frozenset(range(start, start + 100)) for start in (0, 1000, 2000)]
    found = sharing([*runs, frozenset(range(1050, 1100))])
    assert found.closest == (1, 3)
    assert found.maximum == 1.0
    assert found.pairs == 6


def test_sharing_needs_two_pieces() -> None:
    with pytest.raises(ValueError, match="two pieces"):
        sharing([frozenset({1})])
