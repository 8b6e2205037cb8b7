"""The bot as a chat in the terminal: what `bot.chat` answers, with line editing where somebody types.

The event loop runs only while a line is being answered, so that typing is a plain `input()`, and Ctrl-C stops the piece
in the making and not the chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from bot import wording
from bot.app import open_studio
from bot.chat import COMMANDS, Chat
from bot.options import OPTIONS
from bot.settings import Settings
from bot.terminal import local_user
from data.errors import MusicLSTMError
from data.moods import MOODS

_PROMPT = "» "


def chat(settings: Settings, *, out: Path) -> int:
    """Chat until the end of the input.

    Returns:
        the exit status.

    Raises:
        SetupProblem: something has to be installed or configured.
    """
    with asyncio.Runner() as runner:
        opening = open_studio(settings, render_workers=0)
        studio = runner.run(opening.__aenter__())
        try:
            runner.run(studio.recover("console"))
            talk = Chat(studio, local_user("console"), out.absolute())
            with _line_editing(settings.database.with_name("console_history")) as is_terminal:
                _converse(runner, talk, prompt=_PROMPT if is_terminal else "")
        finally:
            runner.run(opening.__aexit__(None, None, None))
    return 0


def _converse(runner: asyncio.Runner, talk: Chat, *, prompt: str) -> None:
    if prompt:
        _say(f"MusicLSTM. Try: /compose {wording.EXAMPLE}   (/help lists the rest, Ctrl-D leaves)")
    while True:
        try:
            line = input(prompt)
            _say(_answer(runner, talk, line))
        except MusicLSTMError as error:
            _say(" ".join(str(error).split()))
        except KeyboardInterrupt:
            _say("Stopped. Ctrl-D or /quit leaves.")
        except UnicodeDecodeError:
            _say("That line is not text in UTF-8.")
        except EOFError:
            return


def _answer(runner: asyncio.Runner, talk: Chat, line: str) -> str:
    """What the bot says to a line. Whatever Ctrl-C interrupts has come to its end when KeyboardInterrupt is raised."""
    task = runner.get_loop().create_task(talk.answer(line))

    async def outcome() -> str:
        return await task

    try:
        return runner.run(outcome())
    except KeyboardInterrupt:  # a second one leaves everything where it is
        if not task.cancelling():
            task.cancel()
        while not task.done():
            with contextlib.suppress(KeyboardInterrupt):
                runner.run(_ended(task))
        raise


async def _ended(task: asyncio.Task[str]) -> None:
    await asyncio.wait({task})


def _say(text: str) -> None:
    if text:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def _line_editing(memory: Path) -> Iterator[bool]:
    """Arrow keys, earlier lines and completion by Tab where somebody types; says whether somebody does."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield False
        return
    try:
        import readline  # noqa: PLC0415 - not on every Python, and nothing to do with a pipe
    except ImportError:
        yield True
        return
    words = [f"/{name}" for name in COMMANDS] + [f"{option.name}:" for option in OPTIONS]
    words += [f"mood:{mood}" for mood in MOODS]

    def complete(text: str, state: int) -> str | None:
        fitting = [word for word in words if word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" ")
    readline.parse_and_bind("tab: complete")
    with contextlib.suppress(OSError):
        readline.read_history_file(memory)
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):
            readline.set_history_length(1000)
            readline.write_history_file(memory)
