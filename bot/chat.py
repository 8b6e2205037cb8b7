"""What the bot answers to a line of text: `/compose …`, `/history`, `/show ID`, and so on. No terminal is needed."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bot import wording
from bot.blind import Choice
from bot.continuing import Wish, continuation, continuation_of_file, variation
from bot.grammar import parse_values
from bot.history import Requester
from bot.listening import compose_pair
from bot.options import did_you_mean, echo, nearest
from bot.ratings import SCALES, Rating
from bot.recipes import read_file
from bot.studio import Studio
from bot.terminal import progress_bars
from data.midi import MAX_BYTES
from engine.errors import InvalidRequest, StorageProblem

_HISTORY_LINES = 10
_SIDES: dict[str, Choice] = {"A": "left", "B": "right"}
_FILE_BYTES_MAX = 1_000_000_000  # an hour of sound has 635 MB


@dataclass(frozen=True, slots=True)
class Command:
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
        """What the bot says to one line; "" for nothing.

        Raises:
            MusicLSTMError: a mistake, as one sentence to tell.
            EOFError: the person leaves.
        """
        line = line.strip()
        if not line:
            return ""
        if line.partition(" ")[0].casefold() in COMMANDS:  # nothing else that a request could begin with
            line = f"/{line}"
        if not line.startswith("/"):
            return await self.compose(line)  # what people type first: the request itself
        name, _, rest = line[1:].partition(" ")
        command = COMMANDS.get(name.casefold())
        if command is None:
            close = nearest(name.casefold(), COMMANDS)
            hint = did_you_mean(close and f"/{close}")
            raise InvalidRequest("", f"There is no command /{echo(name)}{hint}: /help lists them.")
        return await command.answer(self, rest.strip())

    async def compose(self, text: str, preset: str | None = None) -> str:
        """Make a piece and put its files into the folder."""
        request = await self.studio.request_for(self.requester, parse_values(text), preset=preset)
        return await self._compose(Wish(request))

    async def _compose(self, wish: Wish) -> str:
        started = time.monotonic()
        with progress_bars() as show:
            piece = await self.studio.compose(
                wish.request, self.requester, show, private=wish.private, origin=wish.origin
            )
        piece = await self.studio.hand_over(piece, self.out, wording.stem(wish.request))
        await self.studio.mark_delivered(wish.request.id)
        return wording.piece_text(piece, time.monotonic() - started)

    async def continue_piece(self, text: str) -> str:
        """`ID` or a MIDI file, and what the continuation is to be like: `length:100` adds so many notes."""
        word, request = _first_word(text)
        path = await asyncio.to_thread(_file_at, text)
        if path is not None:
            request = ""  # a name with spaces in it
        else:
            path = await asyncio.to_thread(_file_at, word)
        given = parse_values(request)
        if path is None:
            return await self._compose(await continuation(self.studio, _id("/continue", word), self.requester, given))
        content = await asyncio.to_thread(read_file, path, MAX_BYTES)
        return await self._compose(await continuation_of_file(self.studio, content, self.requester, given))

    async def vary(self, text: str) -> str:
        """The beginning of a piece, going another way."""
        return await self._compose(await variation(self.studio, _id("/vary", text), self.requester))

    async def history(self, text: str) -> str:
        """The newest requests; `/history 30` shows more."""
        records = await self.studio.recent(self.requester, limit=_how_many("/history", text))
        return wording.history_text(records, self.studio.history.clock())

    async def show(self, text: str) -> str:
        """Make a piece again and prove that it is the same; a file of ours may stand for the id."""
        path = await asyncio.to_thread(_file_at, text)
        if path is not None:
            return await self._show_file(path)
        return await self._show_piece(_id("/show", text))

    async def _show_piece(self, piece_id: str) -> str:
        started = time.monotonic()
        with progress_bars() as bars:
            remade = await self.studio.remake(piece_id, self.requester, bars)
        piece = await self.studio.hand_over(remade.piece, self.out, wording.stem(remade.piece.record.request))
        return f"{wording.piece_text(piece, time.monotonic() - started)}\n{wording.proof(remade)}"

    async def _show_file(self, path: Path) -> str:
        content = await asyncio.to_thread(read_file, path, _FILE_BYTES_MAX)
        recognised = await self.studio.recognise(content, self.requester)
        if recognised.record is not None:
            return await self._show_piece(recognised.record.id)
        made = await self._compose(Wish(recognised.request))
        return f"{path.name} was written by checkpoint {recognised.checkpoint_id}; made again from its recipe:\n{made}"

    async def delete(self, text: str) -> str:
        """Forget a piece; files that were handed over are the person's own."""
        record = await self.studio.delete(_id("/delete", text), self.requester)
        return f"Piece {record.id} is forgotten; its files in {self.out} are yours."

    async def favourite(self, text: str) -> str:
        """Keep a piece among the favourites, or take it out when it is there."""
        record = await self.studio.find(_id("/favourite", text), self.requester)
        on = not await self.studio.library.is_favourite(record, self.requester)
        await self.studio.library.set_favourite(record, self.requester, on=on)
        return f"Piece {record.id} is {'now' if on else 'no longer'} among your favourites."

    async def favourites(self, text: str) -> str:
        """The favourites, the latest first."""
        records = await self.studio.library.favourites(self.requester, limit=_how_many("/favourites", text))
        return wording.favourites_text(records, self.studio.history.clock())

    async def preset(self, text: str) -> str:
        """`save NAME REQUEST`, `use NAME [REQUEST]`, `delete NAME`, or nothing for a list."""
        action, _, rest = text.partition(" ")
        name, _, request = rest.strip().partition(" ")
        presets = self.studio.presets
        if action in {"", "list"}:
            lines = [f"{preset.name:16} {preset.text}" for preset in await presets.all(self.requester)]
            return "\n".join(lines) or f"No presets yet: /preset save night {wording.EXAMPLE}"
        if action == "save" and name:
            preset = await presets.save(self.requester, name, request)
            return f"Preset {preset.name}: {preset.text}"
        if action == "use" and name:
            return await self.compose(request, preset=name)
        if action == "delete" and name:
            await presets.delete(self.requester, name)
            return f"Preset {name.casefold()} is deleted."
        raise InvalidRequest("", "Write /preset, /preset save NAME REQUEST, /preset use NAME or /preset delete NAME.")

    async def rate(self, text: str) -> str:
        """`ID` and four numbers from 1 to 5."""
        piece_id, *scores = text.split()[: 2 + len(SCALES)] or [""]
        if len(scores) != len(SCALES) or not all(len(score) == 1 and score in "12345" for score in scores):
            raise InvalidRequest("", f"Write /rate, an id and {len(SCALES)} numbers from 1 to 5: {', '.join(SCALES)}.")
        record = await self.studio.find(piece_id, self.requester)
        await self.studio.ratings.rate(record, self.requester, Rating(*map(int, scores)))
        return f"Thank you: your rating of {record.id} counts in /stats."

    async def blind(self, text: str) -> str:
        """One request by two checkpoints, as two files without names; `model:NAME` chooses the other one."""
        model = re.search(r"(?:^|\s)model[:=](\S+)", text)
        wish = text if model is None else text[: model.start()] + text[model.end() :]
        request = await self.studio.request_for(self.requester, parse_values(wish))
        with progress_bars() as show:
            pair = await compose_pair(
                self.studio, request, self.requester, model_id=None if model is None else model[1], progress=show
            )
        from engine.render.unnamed import unnamed  # noqa: PLC0415 - sound libraries, which only this needs

        sounds = await asyncio.to_thread(unnamed, [pair.left.wav, pair.right.wav], _FILE_BYTES_MAX)
        paths = [self.out / f"blind-{pair.test.id}-{name}.ogg" for name in _SIDES]
        for path, sound, piece in zip(paths, sounds, (pair.left, pair.right), strict=True):
            await asyncio.to_thread(_write, path, sound)
            await self.studio.mark_delivered(piece.record.id)
        return wording.blind_text(pair.test, paths)

    async def vote(self, text: str) -> str:
        """`ID A` or `ID B`: which piece of a blind test is better; then the result is shown."""
        test_id, _, side = text.partition(" ")
        choice = _SIDES.get(side.strip().upper())
        if choice is None:
            raise InvalidRequest("", "Write /vote, the id of a blind test, and A or B.")
        tests = self.studio.blind_tests
        await tests.vote(test_id.casefold(), self.requester, choice)
        return wording.revealed_text(await tests.reveal(test_id.casefold(), self.requester))

    async def stats(self, _: str) -> str:
        """What people think of each checkpoint."""
        return wording.stats_text(await self.studio.ratings.stats(), await self.studio.blind_tests.duels())

    async def privacy(self, text: str) -> str:
        """`show`, `export`, `delete`, `allow` or `forbid`."""
        privacy = self.studio.privacy
        if text in {"", "show"}:
            return wording.kept_text(await privacy.kept(self.requester))
        if text == "export":
            path = self.out / f"about-{self.requester.user_id}.json"
            content = json.dumps(await privacy.export(self.requester), indent=2, ensure_ascii=False)
            await asyncio.to_thread(_write, path, content.encode())
            return f"Everything that is kept about you: {path}"
        if text == "delete":
            pieces = await self.studio.forget(self.requester)
            return f"Everything about you is deleted, {pieces} requests among it; the files in {self.out} are yours."
        if text in {"allow", "forbid"}:
            await privacy.set_training_consent(self.requester, given=text == "allow")
            return wording.CONSENT[text == "allow"]
        raise InvalidRequest(
            "", "Write /privacy show, export, delete, allow or forbid (training with your favourites)."
        )

    async def help(self, _: str) -> str:
        """What can be typed."""
        lines = [f"  {command.usage:24} {command.says}" for command in COMMANDS.values()]
        return "\n".join([*lines, "", f"A request, such as {wording.EXAMPLE}:", wording.options_help()])

    async def quit(self, _: str) -> str:
        """Leave."""
        raise EOFError


def _id(command: str, text: str) -> str:
    if not text:
        raise InvalidRequest("", f"Write {command} and the id of a piece; /history lists them.")
    return text


def _file_at(text: str) -> Path | None:
    """The file of that name, if there is one."""
    try:
        path = Path(text.strip("'\"")).expanduser()
        return path if path.is_file() else None
    except (OSError, RuntimeError, ValueError):  # too long, no such home, a zero byte
        return None


def _first_word(text: str) -> tuple[str, str]:
    """The first word, which may stand in quotes, and the rest."""
    match = re.match(r"""\s*(?:"([^"]*)"|'([^']*)'|(\S*))\s*(.*)""", text, re.DOTALL)
    assert match is not None  # noqa: S101 - it matches any text
    return next((word for word in match.groups()[:3] if word), ""), match[4]


def _how_many(command: str, text: str) -> int:
    if not text:
        return _HISTORY_LINES
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 1000):
        raise InvalidRequest("", f"Write {command}, or {command} with a number from 1 to 1000.")
    return int(text)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StorageProblem(f"{path} cannot be written: {error.strerror}.") from error


COMMANDS: dict[str, Command] = {
    "compose": Command("/compose REQUEST", "make a piece", Chat.compose),
    "continue": Command(
        "/continue ID or FILE", "go on from the end of a piece or a MIDI file: length:100", Chat.continue_piece
    ),
    "vary": Command("/vary ID", "the beginning of a piece, going another way", Chat.vary),
    "history": Command("/history [HOW MANY]", "what you asked for, newest first", Chat.history),
    "show": Command("/show ID or FILE", "make a piece again and compare it with the first time", Chat.show),
    "favourite": Command("/favourite ID", "keep a piece among your favourites, or take it out", Chat.favourite),
    "favourites": Command("/favourites [HOW MANY]", "list them", Chat.favourites),
    "preset": Command(
        "/preset save|use|delete", "requests under a name: /preset save night dark length:400", Chat.preset
    ),
    "rate": Command("/rate ID 1 2 3 4", "coherence, repetition, atmosphere and fit, each from 1 to 5", Chat.rate),
    "blind": Command("/blind REQUEST", "two pieces by two checkpoints, unnamed; model:NAME chooses one", Chat.blind),
    "vote": Command("/vote ID A or B", "which piece of a blind test is better", Chat.vote),
    "stats": Command("/stats", "what people think of each checkpoint", Chat.stats),
    "delete": Command("/delete ID", "forget a piece", Chat.delete),
    "privacy": Command(
        "/privacy [WHAT]",
        "what is kept about you: show, export, delete, allow or forbid training",
        Chat.privacy,
    ),
    "help": Command("/help", "this list", Chat.help),
    "quit": Command("/quit", "leave (Ctrl-D does too)", Chat.quit),
}
