import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.console import COMMANDS, Chat
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
        ("/history many", "a number from 1 to 1000"),
        ("/history ³", "a number from 1 to 1000"),
        ("/", "There is no command /"),
        ("what is this", "is not an option"),
    ],
)
async def test_a_typing_error_is_answered_in_one_line(line: str, says: str, chat: Chat) -> None:
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
    assert len(list((tmp_path / "out").iterdir())) == 3
