from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from data.__main__ import _parser, main
from data.catalogue import sole_writer
from data.corpus import load_corpus
from data.half_time import AMBIENT_NOTES_PER_SECOND, SLOWEST_BPM
from data.importer import MAX_DURATION_S, MIN_DURATION_S, MIN_NOTES
from data.midi import MAX_BYTES, read_midi, write_midi
from data.moods import MOODS
from data.score import Note, Part, Score
from data.similarity import NEAR_DUPLICATE_SHARE

TRAINING = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    for seed in range(2):
        random_ = random.Random(seed)
        notes = tuple(Note(6 * index, Part.BELL, random_.randrange(48, 80), 6, 70) for index in range(60))
        (folder / f"song{seed}.mid").write_bytes(write_midi(Score(notes, 72), title=f"Song {seed}"))
    (folder / "broken.mid").write_bytes(b"MThd")
    return folder


def test_add_report_and_mood(tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = ["--corpus", str(tmp_path / "corpus")]
    words = ["--licence", "CC0-1.0", "--credit", "Music by nobody"]
    assert main(["add", str(music), *words, *corpus]) == 0
    said = capsys.readouterr().out
    assert "truncated" in said
    assert "120" in said
    assert main(["mood", "Song 1", "epic", *corpus]) == 0
    assert "Song 1 is epic now." in capsys.readouterr().out
    assert main(["report", "--json", "--plots", str(tmp_path / "plots"), *corpus]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pieces"], found["notes"], found["quarantined"]) == (2, 120, 1)
    assert all(Path(path).is_file() for path in found["plots"])
    assert main(["report", *corpus]) == 0
    assert "2 pieces, 120 notes" in capsys.readouterr().out
    assert main(["add", str(music), *words, "--json", *corpus]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["accepted"], again["known"], len(again["quarantined"])) == (0, 2, 1)
    assert again["kept"] == []
    assert main(["add", str(music), "--licence", "MIT", "--credit", "x", "--source", "mine", "--json", *corpus]) == 0
    assert [kept["file"] for kept in json.loads(capsys.readouterr().out)["kept"]] == ["song0.mid", "song1.mid"]
    assert main(["add", str(music), "--licence", "MIT", "--credit", "x", "--source", "mine", *corpus]) == 0
    assert "Known from another source" in capsys.readouterr().out


def test_file_names_are_shown_whole_and_as_they_are(
    tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    names = [f"{'a_long_name_' * 6}{number}[b].mid" for number in range(2)]
    for name in names:
        (music / name).write_bytes(b"MThd")
    words = ["--licence", "CC0-1.0", "--credit", "Music by nobody", "--source", "songs [/b]"]
    assert main(["add", str(music), *words, "--corpus", str(tmp_path / "corpus")]) == 0
    said = "".join(re.findall(r"^│ (\S*) *│", capsys.readouterr().out, flags=re.MULTILINE))
    assert all(name in said for name in names)
    assert main(["report", "--corpus", str(tmp_path / "corpus")]) == 0
    assert "songs [/b]" in capsys.readouterr().out


def test_names_that_are_no_utf8_are_stored_and_shown(
    tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, latin = music.rename(tmp_path / os.fsdecode(b"\xe9tudes")), os.fsdecode(b"Pr\xe9lude.mid")
    (folder / "song0.mid").write_bytes(write_midi(read_midi((folder / "song0.mid").read_bytes()).score, title=""))
    (folder / "song0.mid").rename(folder / latin)
    (folder / "broken.mid").rename(folder / os.fsdecode(b"br\xf6ken.mid"))
    kept = tmp_path / os.fsdecode(b"\xe9tude") / "corpus"
    corpus = ["--corpus", str(kept)]
    arguments = ["add", str(folder), "--licence", "MIT", "--credit", os.fsdecode(b"Andr\xe9"), *corpus]
    for known in (0, 2):
        assert main([*arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out.encode())
        assert (found["accepted"], found["known"]) == (2 - known, known)
        assert found["quarantined"][0]["file"] == r"br\udcf6ken.mid"
    assert main(arguments) == 0
    assert r"\udce9tude/corpus" in "".join(capsys.readouterr().out.split())
    assert main(["mood", latin, "dark", *corpus]) == 0
    assert r"Pr\udce9lude is dark now." in capsys.readouterr().out
    plots = ["--plots", str(kept)]
    assert main(["report", *corpus, *plots]) == 0
    assert main(["report", "--json", *corpus, *plots]) == 0
    assert capsys.readouterr().out.encode()
    assert {piece.credit for piece in load_corpus(kept)} == {r"Andr\udce9"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["add", "{music}"], "No licence, no import"),
        (["add", "{music}", "--licence", "CC0-1.0"], "whom to thank"),
        (["add", "{music}/nowhere", "--licence", "CC0-1.0", "--credit", "x"], "There is no folder"),
        (["add", "{music}", "--catalogue", "{music}/none.tsv"], "There is no table"),
        (["fetch", "nowhere"], "There is no source"),
        (["fetch", "mutopia"], "has no archive to fetch"),
        (["fetch", "malandro", "--from", "{music}"], "files of malandro are missing"),
        (["report"], "There is no music"),
        (["mood", "x", "dark"], "There is no music"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str], says: str, tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    filled = [argument.format(music=music) for argument in arguments]
    assert main([*filled, "--corpus", str(tmp_path / "corpus")]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1


def test_what_a_table_leaves_out_is_as_the_options_say(
    tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.tsv"
    table.write_text(
        "file\tsource\tcomposer\tlicence\tcredit\tmood\n"
        "song0.mid\tmusic\tAnn\tCC0-1.0\tThanks\tdark\n"
        "song1.mid\t\t\t\t\t\n"
    )
    said = ["--source", "ours", "--composer", "Bob", "--licence", "MIT", "--credit", "x", "--mood", "epic"]
    corpus = tmp_path / "corpus"
    assert main(["add", str(music), "--catalogue", str(table), *said, "--corpus", str(corpus), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 2
    assert [(p.source, p.composer, p.licence, p.credit, p.mood) for p in load_corpus(corpus)] == [
        ("music", "Ann", "CC0-1.0", "Thanks", "dark"),
        ("ours", "Bob", "MIT", "x", "epic"),
    ]


def test_an_interrupted_import_keeps_what_was_added_and_goes_on(
    tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["add", str(music), "--licence", "MIT", "--credit", "x", "--corpus", str(tmp_path / "corpus"), "--json"]

    def interrupted(path: Path) -> bytes:
        if path.name == "song1.mid":
            raise KeyboardInterrupt
        return path.read_bytes()

    with monkeypatch.context() as patch:
        patch.setattr("data.importer._read", interrupted)
        assert main(arguments) == 130
    assert capsys.readouterr().err == "Interrupted; the corpus is whole. Start again to go on.\n"
    assert len(load_corpus(tmp_path / "corpus")) == 1
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 1


@pytest.mark.parametrize("command", ["add", "mood"])
def test_on_a_terminal_a_wait_for_another_import_is_said(
    command: str, tmp_path: Path, music: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.catalogue.MOMENT_S", 0.05)
    corpus = tmp_path / "corpus"
    adding = ["add", str(music), "--licence", "MIT", "--credit", "x", "--corpus", str(corpus)]
    assert main(adding) == 0
    for terminal in ("", "1"):
        monkeypatch.setenv("FORCE_COLOR", terminal)
        capsys.readouterr()
        with contextlib.ExitStack() as stack:
            stack.enter_context(sole_writer(corpus))
            other = threading.Timer(0.3, stack.pop_all().close)
            other.start()
            assert main(adding if command == "add" else ["mood", "Song 1", "epic", "--corpus", str(corpus)]) == 0
            other.join()
        assert ("Another import into this corpus is at work" in capsys.readouterr().err) == bool(terminal)


def test_the_open_sources_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sources"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("freedoom", "helland", "malandro", "mutopia"))


def test_the_package_imports_neither_torch_nor_discord() -> None:
    modules = "data.__main__, data.corpus, data.midi, data.mood_estimate, data.importer"
    code = (
        f"import sys, {modules}; sys.exit(bool({{'torch', 'discord', 'engine', 'bot', 'trainer'}} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


def test_the_projects_own_composer_fills_a_corpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus = tmp_path / "corpus"
    arguments = ["own", "--count", "8", "--seed", "3", "--scale", "0.3", "--corpus", str(corpus), "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 8
    pieces = load_corpus(corpus)
    assert {piece.mood for piece in pieces} == set(MOODS)
    assert {(piece.licence, piece.mood_confidence) for piece in pieces} == {("CC0-1.0", 1.0)}
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["accepted"] == 0  # they are known
    assert main(["own", "--scale", "9", "--corpus", str(corpus)]) == 1
    assert "--scale from 0.2 to 2" in capsys.readouterr().err


def test_the_documented_commands_are_understood() -> None:
    commands = re.findall(r"^\./run data (.*?)(?:  +#.*)?$", TRAINING, flags=re.MULTILINE)
    assert {shlex.split(command)[0] for command in commands} == {"add", "fetch", "own", "report", "mood"}
    for command in commands:
        _parser().parse_args(shlex.split(command))


def test_the_documented_limits_are_those_of_the_code() -> None:
    said = " ".join(TRAINING.split())
    for words in (
        f"larger than {MAX_BYTES // 2**20} MiB",
        f"fewer than {MIN_NOTES} notes",
        f"under {MIN_DURATION_S:.0f} seconds, over an hour",
        f"at most {AMBIENT_NOTES_PER_SECOND:.0f} notes a second",
        f"below {SLOWEST_BPM:.0f} beats a minute",
        "four fifths of its phrases",
    ):
        assert words in said, words
    assert (MAX_DURATION_S, NEAR_DUPLICATE_SHARE) == (3600, 0.8)
