import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from bot.chat import COMMANDS, Chat
from bot.console import _answer
from bot.settings import ROOT
from data.errors import MusicLSTMError
from tests.bot.conftest import TERMINAL, House


@pytest.fixture
def chat(house: House) -> Chat:
    return Chat(house.studio, TERMINAL, house.folder / "out")


async def test_compose_history_show(chat: Chat, house: House) -> None:
    made = await chat.answer("/compose mood:epic length:32 seed:7")
    (midi,) = (house.folder / "out").glob("*.mid")
    assert str(midi) in made
    piece_id = midi.stem.removeprefix("epic-")
    listed = await chat.answer("/history")
    assert listed.startswith(piece_id)
    assert "delivered" in listed
    assert "mood:epic length:32 temp:0.9 seed:7" in listed
    before = midi.read_bytes()
    shown = await chat.answer(f"/show {piece_id.upper()}")
    assert "every note and every sample is the same" in shown
    assert midi.read_bytes() == before


async def test_the_slash_and_even_the_command_may_be_left_out(chat: Chat) -> None:
    assert "16 notes" in await chat.answer("compose length:16")
    assert "(tense, " in await chat.answer("tense length:16")
    assert await chat.answer("   ") == ""


async def _piece_id(chat: Chat) -> str:
    return re.findall(r"\(dark, (\w+)\)", await chat.answer("/compose length:16"))[0]


async def test_every_command_may_be_typed_without_its_slash(chat: Chat) -> None:
    assert await chat.answer("help") == await chat.answer("/help")
    assert await chat.answer("History 3") == await chat.answer("/history 3")
    with pytest.raises(EOFError):
        await chat.answer("quit")


async def test_favourites_and_ratings_and_deleting(chat: Chat) -> None:
    piece_id = await _piece_id(chat)
    assert "/favourite ID" in await chat.answer("/favourites")
    assert "now among" in await chat.answer(f"/favourite {piece_id}")
    assert (await chat.answer("/favourites")).startswith(piece_id)
    assert "no longer" in await chat.answer(f"/favourite {piece_id}")
    assert "Nobody has rated" in await chat.answer("/stats")
    assert "counts" in await chat.answer(f"/rate {piece_id} 4 3 5 4")
    assert "small-1: ratings 1, people 1, pieces 1" in await chat.answer("/stats")
    assert "forgotten" in await chat.answer(f"/delete {piece_id}")
    assert "/compose mood:dark" in await chat.answer("/history")


async def test_presets(chat: Chat) -> None:
    assert "No presets" in await chat.answer("/preset")
    assert await chat.answer("/preset save Night tense, length:32") == "Preset night: mood:tense length:32"
    assert "night" in await chat.answer("/preset list")
    made = await chat.answer("/preset use night length:16")
    assert "(tense, " in made
    assert "16 notes" in made
    assert "deleted" in await chat.answer("/preset delete night")


async def test_privacy(chat: Chat, house: House) -> None:
    piece_id = await _piece_id(chat)
    assert "1 requests" in await chat.answer("/privacy")
    assert "allowed" in await chat.answer("/privacy allow")
    said = await chat.answer("/privacy export")
    assert piece_id in (house.folder / "out" / "about-ada.json").read_text(encoding="utf-8")
    assert "about-ada.json" in said
    assert "deleted, 1 requests" in await chat.answer("/privacy delete")
    assert "0 requests" in await chat.answer("/privacy show")
    assert len(list((house.folder / "out").glob("dark-*"))) == 3  # what was handed over stays


async def test_another_checkpoint_is_told(chat: Chat, house: House) -> None:
    made = await chat.answer("/compose length:32")
    house.engine.checkpoint_id = "small-2"
    shown = await chat.answer("/show " + re.findall(r"\(dark, (\w+)\)", made)[0])
    assert "another checkpoint (small-2 now, small-1 then)" in shown


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("/compos mood:dark", "did you mean /compose?"),
        ("/compose mood:drak", "did you mean dark?"),
        ("/show", "Write /show and the id"),
        ("/show nothing", "There is no piece 'nothing'."),
        ("/show ~nobody/x.mid", "There is no piece"),
        ("/show \x00.mid", "There is no piece"),
        ("/show " + "x" * 5000, "There is no piece"),
        ("/show pyproject.toml", "not made by this bot"),
        ("/history many", "a number from 1 to 1000"),
        ("/history ³", "a number from 1 to 1000"),
        ("/", "There is no command /"),
        ("what is this", "is not an option"),
        ("/favourite", "Write /favourite and the id"),
        ("/delete nothing", "There is no piece"),
        ("/rate abcd2345 1 2 3", "4 numbers from 1 to 5"),
        ("/rate abcd2345 1 2 3 6", "4 numbers from 1 to 5"),
        ("/rate", "4 numbers from 1 to 5"),
        ("/preset save", "Write /preset"),
        ("/preset use nigth", "You have no preset"),
        ("/preset save night length:5", "16 to 2000"),
        ("/privacy please", "Write /privacy"),
    ],
)
async def test_a_typing_error_is_answered_in_one_line(
    line: str, says: str, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(MusicLSTMError) as caught:
        await chat.answer(line)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_help_names_every_command_and_option(chat: Chat) -> None:
    text = await chat.answer("/help")
    assert all(command.usage in text for command in COMMANDS.values())
    assert "length:" in text
    assert "mysterious" in text


async def test_an_empty_history_says_how_to_begin(chat: Chat) -> None:
    assert "/compose mood:dark" in await chat.answer("/history")


def test_it_works_with_piped_lines_and_goes_on_after_mistakes(tmp_path: Path, checkpoint: Path) -> None:
    environment = os.environ | {
        "MUSICLSTM_DATABASE": str(tmp_path / "history.db"),
        "MUSICLSTM_PIECES_DIR": str(tmp_path / "pieces"),
    }
    lines = "/hlep\n/compose length:16 tempo:200 seed:3\n/history\n\xff\n/compose mood:\n/quit\n/history\n"
    ended = subprocess.run(
        [sys.executable, "-m", "bot", "console", "--out", str(tmp_path / "out"), "--checkpoint", str(checkpoint)],
        input=lines.encode("latin-1"),
        capture_output=True,
        cwd=ROOT,
        env=environment,
        check=False,
        timeout=120,
    )
    said = ended.stdout.decode()
    assert ended.returncode == 0, ended.stderr.decode()
    assert "did you mean /help?" in said.splitlines()[0]
    assert "16 notes" in said
    assert said.count("delivered") == 1
    assert "mood has no value" in said
    assert "'\ufffd' is not an option" in said
    files = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert files == {".mid", ".wav", ".ogg", ".png"}


def test_whatever_ctrl_c_interrupts_has_ended_before_the_next_line_however_often_it_is_pressed() -> None:
    done: list[str] = []

    class Slow:
        async def answer(self, line: str) -> str:
            try:
                await asyncio.sleep(30)
            finally:
                await asyncio.sleep(0.3)  # as a renderer that is stopped
                done.append(line)
            return line

    def press() -> None:
        for _ in range(3):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests may run where it is ignored
    try:
        threading.Thread(target=press, daemon=True).start()
        with asyncio.Runner() as runner, pytest.raises(KeyboardInterrupt):
            _answer(runner, Slow(), "/compose")  # type: ignore[arg-type]
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == ["/compose"]
