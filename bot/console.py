"""The bot as a chat in the terminal: `/compose …`, `/history`, `/show ID`, `/help`, `/quit`.

The event loop runs only while a line is being answered, so that typing is a plain `input()` with line editing, and
Ctrl-C stops the piece in the making and not the chat.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bot import wording
from bot.app import open_studio
from bot.grammar import OPTIONS, parse_request
from bot.history import Requester
from bot.settings import Settings
from bot.studio import Studio
from bot.terminal import local_user, progress_bars
from data.errors import MusicLSTMError
from data.moods import MOODS
from engine.errors import InvalidRequest

_PROMPT = "» "
_HISTORY_LINES = 10


@dataclass(frozen=True, slots=True)
class _Command:
    """One thing that can be typed after a slash."""

    usage: str
    says: str
    answer: Callable[[Chat, str], Awaitable[str]]


class Chat:
    """Answers lines, one at a time.

    Args:
        studio: open.
        requester: whoever types.
        out: where files go.
    """

    def __init__(self, studio: Studio, requester: Requester, out: Path) -> None:
        self.studio = studio
        self.requester = requester
        self.out = out

    async def answer(self, line: str) -> str:
        """What the bot says to one line; a mistake is one sentence.

        Raises:
            MusicLSTMError: the sentence to tell.
        """
        line = line.strip()
        if not line:
            return ""
        if not line.startswith("/"):
            return await self.compose(line)  # what people type first: the request itself
        name, _, rest = line[1:].partition(" ")
        command = COMMANDS.get(name.casefold())
        if command is None:
            close = difflib.get_close_matches(name.casefold(), COMMANDS, n=1)
            meant = f" (did you mean /{close[0]}?)" if close else ""
            raise InvalidRequest("", f"There is no command /{name[:24]}{meant}: /help lists them.")
        return await command.answer(self, rest.strip())

    async def compose(self, text: str) -> str:
        """Make a piece and put its files into the folder."""
        request = parse_request(text)
        started = time.monotonic()
        with progress_bars() as show:
            piece = await self.studio.compose(request, self.requester, show)
        piece = await self.studio.hand_over(piece, self.out, wording.stem(request))
        await self.studio.mark_delivered(request.id)
        return wording.piece_text(piece, time.monotonic() - started)

    async def history(self, text: str) -> str:
        """The newest requests; `/history 30` shows more."""
        limit = _HISTORY_LINES
        if text:
            if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= 1000:
                raise InvalidRequest("", "Write /history, or /history with a number from 1 to 1000.")
            limit = int(text)
        records = await self.studio.recent(self.requester, limit=limit)
        return wording.history_text(records, self.studio.history.clock())

    async def show(self, text: str) -> str:
        """Make a piece again and prove that it is the same."""
        if not text:
            raise InvalidRequest("", "Write /show and the id of a piece; /history lists them.")
        started = time.monotonic()
        with progress_bars() as bars:
            remade = await self.studio.remake(text, self.requester, bars)
        piece = await self.studio.hand_over(remade.piece, self.out, wording.stem(remade.piece.record.request))
        return f"{wording.piece_text(piece, time.monotonic() - started)}\n{wording.proof(remade)}"

    async def help(self, _: str) -> str:
        """What can be typed."""
        lines = [f"  {command.usage:24} {command.says}" for command in COMMANDS.values()]
        return "\n".join([*lines, "", f"A request, such as {wording.EXAMPLE}:", wording.options_help()])

    async def quit(self, _: str) -> str:
        """Leave."""
        raise EOFError


COMMANDS: dict[str, _Command] = {
    "compose": _Command("/compose REQUEST", "make a piece", Chat.compose),
    "history": _Command("/history [HOW MANY]", "what you asked for, newest first", Chat.history),
    "show": _Command("/show ID", "make a piece again and compare it with the first time", Chat.show),
    "help": _Command("/help", "this list", Chat.help),
    "quit": _Command("/quit", "leave (Ctrl-D does too)", Chat.quit),
}


def chat(settings: Settings, *, out: Path) -> int:
    """Chat until the end of the input.

    Returns:
        the exit status.

    Raises:
        SetupProblem: something has to be installed or configured.
    """
    with asyncio.Runner() as runner:
        opening = open_studio(settings)
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
            _say(runner.run(talk.answer(line)))
        except MusicLSTMError as error:
            _say(" ".join(str(error).split()))
        except KeyboardInterrupt:
            _say("Stopped. Ctrl-D or /quit leaves.")
        except UnicodeDecodeError:
            _say("That line is not text in UTF-8.")
        except EOFError:
            return


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
