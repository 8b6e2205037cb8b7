import hashlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import soundfile
from symusic.core import ScoreTick

from bot.cli import main
from bot.settings import ROOT


@pytest.fixture
def var(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this program keeps its state."""
    monkeypatch.setenv("MUSICLSTM_DATABASE", str(tmp_path / "var/history.db"))
    monkeypatch.setenv("MUSICLSTM_PIECES_DIR", str(tmp_path / "var/pieces"))
    for name in ("DISCORD_TOKEN", "MUSICLSTM_LOG_LEVEL", "MUSICLSTM_CHECKPOINT"):
        monkeypatch.delenv(name, raising=False)
    # An `.env` of whoever runs the tests must not reach them.
    monkeypatch.setattr("bot.settings.load_settings.__defaults__", (None,))
    return tmp_path / "var"


def _rows(var: Path, sql: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(var / "history.db")) as db:
        return db.execute(sql).fetchall()


def test_compose_writes_what_it_says_in_one_json_object(
    var: Path, tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["mood:tense", "--length", "24", "temp=0.8", "tempo:200", "key:F#", "minor", "seed:7"]
    digests = []
    for out in ("first", "second"):
        options = ["--json", "--out", str(tmp_path / out), "--checkpoint", str(checkpoint)]
        assert main(["compose", *words, *options]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        assert printed.out.count("\n") == 1
        piece = json.loads(printed.out)
        assert (piece["mood"], piece["length_notes"], piece["temperature"], piece["seed"]) == ("tense", 24, 0.8, 7)
        assert (piece["notes"], piece["tempo_bpm"], piece["key"]) == (24, 200, "F#m")
        assert re.fullmatch(r"untrained-[0-9a-f]{8}", piece["checkpoint"])
        assert piece["originality"] is None  # it has learnt nothing
        assert 0 < piece["elapsed_s"] < 300
        midi, wav, png = Path(piece["midi"]), Path(piece["wav"]), Path(piece["png"])
        assert {midi.parent, wav.parent, png.parent} == {tmp_path / out}
        assert {path.stem for path in (midi, wav, png)} == {f"tense-{piece['id']}"}
        assert sum(len(track.notes) for track in ScoreTick.from_file(midi).tracks) == 24
        sound = soundfile.info(wav)
        assert (sound.samplerate, sound.channels) == (44_100, 2)
        assert sound.duration == pytest.approx(piece["duration_s"], abs=0.01)
        digests.append(hashlib.sha256(midi.read_bytes()).hexdigest())
    assert digests[0] == digests[1]
    assert _rows(var, "SELECT state, front_end FROM requests") == [("delivered", "cli")] * 2
    assert {path.suffix for path in (var / "pieces").glob("[!.]*")} == {".mid"}  # what a continuation begins with


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["compose", "mood:drak"], 2, "did you mean dark?"),
        (["compose", "--length", "5000"], 2, "16 to 2000 notes"),
        (["compose", "--jsn"], 2, "is not an option"),
        (["compose", "--out"], 2, "expected one argument"),
        (["compsoe"], 2, "did you mean compose?"),
        (["bot", "now"], 2, "'now' is not understood by bot"),
        (["preview", "--port", "x"], 2, "invalid int value"),
        ([], 2, "COMMAND"),
        (["bot"], 78, "discord.com/developers/applications"),
        (["compose", "--checkpoint", "/nowhere"], 78, "There is no checkpoint in /nowhere"),
        (["compose", "--soundfont", "/nowhere.sf2"], 78, "/nowhere.sf2"),
        (["compose", "--out", "/proc/nowhere"], 78, "choose another folder with --out"),
    ],
)
@pytest.mark.usefixtures("var")
def test_what_cannot_be_done_is_told_in_one_line_with_a_status(
    arguments: list[str], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    assert says in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.usefixtures("var")
def test_a_bad_setting_is_told_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSICLSTM_SLOTS", "0")
    assert main(["compose"]) == 78
    assert capsys.readouterr().err.startswith("MUSICLSTM_SLOTS cannot be '0'")


@pytest.mark.parametrize("command", ["", "compose", "console", "bot", "preview"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*filter(None, [command]), "--help"])
    assert stopped.value.code == 0
    assert "./run" in capsys.readouterr().out


def test_help_and_typing_errors_load_neither_torch_nor_discord() -> None:
    code = (
        "import sys; from bot.cli import main; status = main(['compose', 'mood:drak']);"
        "sys.exit(status if not {'torch', 'discord', 'pretty_midi'} & set(sys.modules) else 99)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT, capture_output=True).returncode == 2


@pytest.fixture
def composing(var: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that is making a piece of some minutes, which takes seconds."""
    command = [sys.executable, "-m", "bot", "compose", "mood:epic", "length:600", "tempo:160"]
    # Where the tests run in the background of a shell, Ctrl-C is ignored, and by whatever is started then.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "out")],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    deadline = time.monotonic() + 60
    while not ((var / "history.db").exists() and ("running",) in _try_states(var)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield process
    process.kill()
    process.communicate()


def _try_states(var: Path) -> list[tuple[object, ...]]:
    try:
        return _rows(var, "SELECT state FROM requests")
    except sqlite3.OperationalError:  # its tables are being made
        return []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_stops_at_once_and_leaves_nothing_behind(
    number: signal.Signals, composing: subprocess.Popen[str], var: Path, tmp_path: Path
) -> None:
    composing.send_signal(number)
    out, err = composing.communicate(timeout=20)
    assert (composing.returncode, out, err) == (130, "", "Interrupted.\n")
    assert not (tmp_path / "out").exists()
    assert list((var / "pieces").glob("[!.]*")) == []
    assert _try_states(var) == [("cancelled",)]


def test_killed_it_is_marked_failed_by_the_next_start_which_prints_where_its_files_are(
    composing: subprocess.Popen[str],
    var: Path,
    tmp_path: Path,
    checkpoint: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    composing.kill()
    composing.communicate()
    monkeypatch.chdir(tmp_path)
    assert main(["compose", "length:16", "tempo:200", "seed:5", "--checkpoint", str(checkpoint)]) == 0
    text = capsys.readouterr().out
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".mid", ".wav", ".png", ".ogg"}
    for path in (tmp_path / "out").iterdir():
        assert str(path) in text
    for fact in (
        "16 notes",
        "seed        5",
        "checkpoint  untrained-",
        "mood:dark length:16 temp:0.9 tempo:200 seed:5",
    ):
        assert fact in text
    assert _rows(var, "SELECT state, error FROM requests ORDER BY number") == [
        ("failed", "The program stopped before it was finished."),
        ("delivered", ""),
    ]
    assert {path.suffix for path in (var / "pieces").glob("[!.]*")} == {".mid"}
