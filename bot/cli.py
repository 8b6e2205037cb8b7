"""The command line: `python -m bot compose …`, `console`, `bot`, `preview`.

Standard output has the answer, standard error progress and problems, one line each. Exit status: 0 done, 2 a request
that cannot be understood, 75 busy or Discord out of reach (try again), 78 something to install or configure, 130
interrupted, 1 anything else.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from bot import health, wording
from bot.app import open_studio
from bot.grammar import parse_request
from bot.logs import set_up_logging
from bot.metrics import serve
from bot.options import did_you_mean, nearest
from bot.settings import Settings, load_settings
from bot.studio import Studio
from bot.terminal import EXIT_FAILED, EXIT_INTERRUPTED, exit_status, local_user, progress_bars
from data.errors import MusicLSTMError
from engine.errors import InvalidRequest, SetupProblem, StorageProblem
from engine.types import ComposeRequest

_log = logging.getLogger(__name__)

_COMMANDS = ("compose", "console", "bot", "preview", "health")
_HOW_TO_CONNECT = (
    "There is no bot token: make an application at https://discord.com/developers/applications, copy its token "
    "(Bot, Reset Token) and write DISCORD_TOKEN=… into .env."
)


class _Parser(argparse.ArgumentParser):
    """Tells a mistake in one line, as everything here does."""

    def error(self, message: str) -> NoReturn:
        raise InvalidRequest("", f"{message[:1].upper()}{message[1:]}; --help tells what there is.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as after `python -m bot`; None takes them from the command line.

    Returns:
        the exit status.
    """
    try:
        return _run(sys.argv[1:] if arguments is None else list(arguments))
    except MusicLSTMError as error:
        _log.debug("told in one sentence", exc_info=True)
        _complain(str(error))
        return exit_status(error)
    except KeyboardInterrupt:
        _complain("Interrupted.")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing more can be said there, not even by the interpreter.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED


def _complain(sentence: str) -> None:
    sys.stderr.write(" ".join(sentence.split()) + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="./run", description="Composes ambient, dark sci-fi music.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    compose = commands.add_parser(
        "compose",
        help="write a piece to files",
        allow_abbrev=False,
        usage=f"./run compose [REQUEST …] [--out DIR] [--json]\n       such as: ./run compose {wording.EXAMPLE}",
        description=f"What a REQUEST may say, in any order:\n\n{wording.options_help()}\n\n"
        "length=200 and --length 200 are understood too.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compose.add_argument(
        "--out", metavar="DIR", type=Path, default=Path("out"), help="where the files go (default: out)"
    )
    compose.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    console = commands.add_parser("console", help="chat with the bot in this terminal", allow_abbrev=False)
    console.add_argument("--out", metavar="DIR", type=Path, default=Path("out"), help="where files go (default: out)")
    for each in (compose, console):
        each.add_argument("--checkpoint", metavar="DIR", type=Path, help="the model to compose with")
        each.add_argument("--soundfont", metavar="FILE", type=Path, help="the SoundFont to play with")
    commands.add_parser("bot", help="start the Discord bot (needs DISCORD_TOKEN)", allow_abbrev=False)
    commands.add_parser("health", help="whether the bot on this machine is alive", allow_abbrev=False)
    preview = commands.add_parser(
        "preview", help="try the Discord bot in a browser, without a token", allow_abbrev=False
    )
    preview.add_argument("--port", type=int, default=0, help="of the local page (default: a free one)")
    return parser


def _run(arguments: list[str]) -> int:
    parser = _parser()
    if arguments and not arguments[0].startswith("-") and arguments[0] not in _COMMANDS:
        hint = did_you_mean(nearest(arguments[0], _COMMANDS))
        parser.error(f"there is no command '{arguments[0][:24]}'{hint}")
    # What `compose` does not know is the request: `mood:dark --length 200`. In order, as typed.
    known, request_words = parser.parse_known_args(arguments)
    if known.command != "compose" and request_words:
        parser.error(f"'{request_words[0]}' is not understood by {known.command}")
    settings = load_settings()
    chosen = {name: getattr(known, name, None) for name in ("checkpoint", "soundfont")}
    settings = settings.model_copy(update={name: path for name, path in chosen.items() if path is not None})
    # Loaded only when needed: discord.py and what makes music take a quarter of a second each.
    if known.command == "compose":
        request = parse_request(" ".join(request_words))
        set_up_logging(settings.log_level, settings.log_format)
        return asyncio.run(_compose(request, settings, out=known.out, as_json=known.json))
    if known.command == "console":
        from bot.console import chat  # noqa: PLC0415

        set_up_logging(settings.log_level, settings.log_format)
        return chat(settings, out=known.out)
    if known.command == "bot":
        if settings.discord_token is None:
            raise SetupProblem(_HOW_TO_CONNECT)
        set_up_logging(settings.log_level, settings.log_format)
        return asyncio.run(_serve(settings, settings.discord_token.get_secret_value()))
    if known.command == "health":
        alive, sentence = health.check(_heartbeat(settings))
        sys.stdout.write(f"{sentence}\n")
        return 0 if alive else EXIT_FAILED
    from bot.discord.preview import preview  # noqa: PLC0415

    set_up_logging(settings.log_level, settings.log_format)
    return preview(settings, port=known.port)


async def _compose(request: ComposeRequest, settings: Settings, *, out: Path, as_json: bool) -> int:
    started = time.monotonic()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has a task
    # A polite kill cleans up as Ctrl-C does.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        with _writable(out) as folder:
            async with open_studio(settings, render_workers=0) as studio:
                await studio.recover("cli")
                with progress_bars() as show:
                    piece = await studio.compose(request, local_user("cli"), show)
                piece = await studio.hand_over(piece, folder, wording.stem(request))
                elapsed_s = time.monotonic() - started
                if as_json:
                    sys.stdout.write(json.dumps(wording.piece_json(piece, elapsed_s), ensure_ascii=False) + "\n")
                else:
                    sys.stdout.write(wording.piece_text(piece, elapsed_s) + "\n")
                sys.stdout.flush()
                await studio.mark_delivered(request.id)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return 0


@contextlib.contextmanager
def _writable(folder: Path) -> Iterator[Path]:
    """Make the folder, and find out now, not after the work, whether files can be written there.

    A folder that was made here and is still empty at the end is removed again.

    Raises:
        StorageProblem: it cannot be made or written.
    """
    folder = folder.absolute()
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".{os.getpid()}.probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StorageProblem(
            f"Files cannot be written to {folder} ({error.strerror}): choose another folder with --out."
        ) from error
    try:
        yield folder
    finally:
        if made:
            with contextlib.suppress(OSError):  # not empty: the piece is in it
                folder.rmdir()


@contextlib.asynccontextmanager
async def _watched_studio(settings: Settings) -> AsyncIterator[Studio]:
    """The studio, with its metrics served where the settings say a port."""
    async with open_studio(settings) as studio, contextlib.AsyncExitStack() as stack:
        if settings.metrics_port:
            address = await stack.enter_async_context(serve(studio.metrics, settings.metrics_port))
            _log.info("metrics are at %s/metrics", address)
        yield studio


async def _serve(settings: Settings, token: str) -> int:
    from bot.discord.client import MusicLSTMClient, run, use_api_base  # noqa: PLC0415

    use_api_base(settings.discord_api)
    client = MusicLSTMClient(
        lambda: _watched_studio(settings),
        commands_memory=settings.database.with_name("commands.json"),
    )

    def connected() -> bool:
        return client.is_ready() and not any(shard.is_closed() for shard in client.shards.values())

    beating = asyncio.create_task(health.keep_beating(_heartbeat(settings), connected))
    try:
        await run(client, token)
    finally:
        beating.cancel()
        _heartbeat(settings).unlink(missing_ok=True)
    return 0


def _heartbeat(settings: Settings) -> Path:
    return settings.database.with_name("heartbeat")
