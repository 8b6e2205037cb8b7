"""What the measurements answer to a mistake: one sentence, and a status that says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as dispatcher
from benchmarks import compose
from benchmarks.command import told
from engine.errors import InvalidRequest

BENCH = Path(__file__).resolve().parents[2] / "docs" / "bench"


def status_of(*arguments: object) -> int:
    return told(lambda: dispatcher.main([str(argument) for argument in arguments]))


@pytest.mark.parametrize("name", ["engine", "compose", "train"])
def test_a_table_of_no_measurement_is_refused_in_one_sentence(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty, another = tmp_path / "empty.json", tmp_path / "another.json"
    empty.write_bytes(b"")
    another.write_bytes(b'{"rows": [{"something": 1}]}')
    for file in (empty, another, tmp_path / "missing.json", tmp_path):
        assert status_of(name, "--table", file) == 78
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(str(file))
        assert said.err.count("\n") == 1


def test_a_chart_that_cannot_be_written_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = tmp_path / "no" / "chart.svg"
    assert status_of("engine", "--table", BENCH / "engine.json", "--plot", nowhere) == 78
    assert capsys.readouterr().err == f"{nowhere} cannot be written: No such file or directory.\n"


def test_what_was_measured_is_told_before_a_chart_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def measured(*_: object) -> tuple[compose.Alone, list[compose.Crowd], compose.Memory]:
        alone = compose.Alone(200, 7, 1.0, 0.2, 0.7, 0.1, {"notes": 0.2}, 0.4, 1.5)
        return alone, [compose.Crowd(1, 64, 60.0, 1.0, 1.0, None, 5.0)], compose.Memory(100.0, 400.0)

    monkeypatch.setattr(compose, "measure", measured)
    for form in (["--json"], []):
        assert status_of("compose", *form, "--plot", tmp_path / "no" / "chart.svg") == 78
        said = capsys.readouterr()
        assert "60.0" in said.out
        assert "cannot be written" in said.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("engine", "--rounds", "0"),
        ("compose", "--rounds", "0"),
        ("compose", "--at-once", "4,0"),
        ("compose", "--at-once", ""),
        ("sound", "--rounds", "0"),
        ("takes", "--pieces", "0"),
        ("train", "--rounds", "0"),
        ("train", "--threads", "0"),
        ("train", "--presets", "v1,v9"),
    ],
)
def test_a_number_that_measures_nothing_is_refused(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        status_of(*arguments)
    assert f"argument {arguments[1]}: " in capsys.readouterr().err


def test_a_missing_checkpoint_and_a_missing_corpus_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("engine", "--checkpoint", tmp_path) == 78
    assert status_of("precision", "--corpus", tmp_path / "none") == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_what_ends_a_measurement_is_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    def mistaken() -> int:
        raise InvalidRequest("length", "length is a whole number.")

    assert told(interrupted) == 130
    assert told(mistaken) == 2
    assert told(lambda: 1) == 1
    assert capsys.readouterr().err == "Interrupted.\nlength is a whole number.\n"


def test_nothing_is_said_where_nobody_reads_on() -> None:
    command = [sys.executable, "-m", "benchmarks", "train", "--table", str(BENCH / "train.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=BENCH.parents[1]) as child:
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
        assert child.wait() == 1
