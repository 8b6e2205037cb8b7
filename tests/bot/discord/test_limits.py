"""Whatever there is to show, and in every language: no message is larger than Discord takes."""

from collections.abc import Iterable
from typing import Any

import discord
import pytest
from discord import app_commands

from bot.discord import limits, texts
from bot.discord.texts import LANGUAGES, whole_lines
from bot.presets import PRESETS_MAX
from data.midi import write_midi
from data.score import Note, Part, Score
from tests.bot.discord.conftest import House
from tests.bot.discord.test_owner import ModelHouse, grace

__all__ = ["grace"]

pytestmark = [pytest.mark.simcord(settle_timeout=60.0), pytest.mark.usefixtures("closing")]

MANY = 40
LONG_NAME = "a-model-with-a-name-that-somebody-thought-about-for-a-long-time"
LOUD = "*_~`|>" * 5  # of a person or a preset, as long as Discord allows; each sign needs another before it
MIDI = write_midi(Score((Note(0, Part.PAD, 60, 12, 80),), 60.0), title="From elsewhere")

# What each command is given; a new command that is missing here fails the test.
ASKED: dict[str, dict[str, Any]] = {
    "compose": {"mood": "melancholic", "length": 2000, "temp": 1.2345678, "key": "Bb minor", "seed": 4_294_967_295},
    "continue": {"id": "PIECE", "length": 1000},
    "history": {"server": True},
    "show": {"id": "PIECE"},
    "share": {"id": "PIECE"},
    "favourites": {},
    "top": {},
    "queue": {},
    "blind": {"model": "MODEL"},
    "stats": {},
    "help": {},
    "about": {},
    "preset save": {"name": "last", "request": "mood:dark"},
    "preset use": {"name": "last", "dm": True},
    "preset list": {},
    "preset delete": {"name": "last"},
    "privacy show": {},
    "privacy export": {},
    "privacy delete": {},
    "privacy training": {"allowed": True},
    "admin defaults": {"request": "mood:melancholic length:1000 temp:1.2345678 tempo:100 key:Bbm space:cathedral"},
    "admin limits": {"pieces": 1000},
    "admin block": {"user": "BEN"},
    "admin unblock": {"user": "BEN"},
    "admin best-of": {},
    "admin announce": {"channel": "CHANNEL", "text": "*" * 2000},
    "admin audit": {},
    "admin health": {},
    "admin model list": {},
    "admin model promote": {"id": "MODEL"},
    "admin model rollback": {},
    "admin retrain": {"epochs": 1},
    "admin training": {},
}


class CrowdedHouse(ModelHouse):
    """With many checkpoints of long names."""

    def __post_init__(self) -> None:
        super().__post_init__()
        sidecar = (self.checkpoints / "mine" / "model.json").read_text()
        for n in range(MANY):
            folder = self.checkpoints / f"{n:02}"
            folder.mkdir()
            (folder / "model.json").write_text(sidecar.replace("mine", f"{LONG_NAME}-{n:02}"))


@pytest.fixture(params=["en", *LANGUAGES])
def language(request, monkeypatch) -> str:
    """What everybody reads."""
    monkeypatch.setattr(texts, "language_of", lambda _: request.param)
    return str(request.param)


@pytest.fixture
def house(tmp_path) -> House:
    return CrowdedHouse(tmp_path)


async def copies(history, piece_id: str, count: int, checkpoints: int) -> list[str]:
    """Write a finished piece down again and again, as pieces of many models."""
    ids = [f"copy{n:04}" for n in range(count)]
    for table, column in (("requests", "id"), ("results", "request_id")):
        (row,) = await history.rows(f"SELECT * FROM {table} WHERE {column} = :id", {"id": piece_id})  # noqa: S608
        kept = {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118 - a row has no items
        names, places = ", ".join(kept), ", ".join(f":{name}" for name in kept)
        for n, copy in enumerate(ids):
            model = {"checkpoint_id": f"{LONG_NAME}-{n % checkpoints:02}-12345678"} if table == "results" else {}
            values = {**kept, column: copy, **model}
            await history.write(f"INSERT INTO {table} ({names}) VALUES ({places})", values)  # noqa: S608
    return ids


async def crowd(studio, piece_id: str, person: str) -> None:
    """Ratings, blind tests, favourites, presets and an audit that have grown for years."""
    history, now = studio.history, studio.history.now_text()
    ids = await copies(history, piece_id, 2 * MANY, MANY)
    for n, copy in enumerate(ids):
        for rater in ("discord:1", "discord:2"):
            await history.write(
                "INSERT INTO ratings VALUES (:id, :person, 3, 4, 5, :fit, :now)",
                {"id": copy, "person": rater, "fit": 1 + (n + int(rater[-1])) % 5, "now": now},
            )
        await history.write("INSERT INTO favourites VALUES (:p, :id, :now)", {"p": person, "id": copy, "now": now})
        test = {"id": f"test{n}", "left": copy, "right": ids[n - 1], "model": LONG_NAME, "now": now}
        await history.write("INSERT INTO blind_tests VALUES (:id, :left, :right, :left, :model, :now, :now)", test)
        await history.write("INSERT INTO blind_votes VALUES (:id, 'discord:1', 'left', :now)", test)
    for n in range(PRESETS_MAX - 1):
        await history.write(
            "INSERT INTO presets VALUES (:p, :name, :request, :now)",
            {"p": person, "name": f"{LOUD}{n:02}", "request": f"mood:melancholic {'key:Bbm ' * 30}", "now": now},
        )
    for n in range(MANY):
        await history.write(
            "INSERT INTO audit (at, guild_id, person, person_name, action, details) "
            "SELECT :now, guild_id, person, :name, 'announce', :details FROM requests WHERE id = :id",
            {"now": now, "name": LOUD, "details": LOUD * 20, "id": ids[n]},
        )


@pytest.mark.usefixtures("language")
async def test_no_command_says_more_than_discord_takes(simcord_env, channel, grace, ben) -> None:
    assert {each.qualified_name for each in leaves(simcord_env.bot.tree.get_commands())} == set(ASKED)
    grace.user._user.global_name = LOUD
    await grace.slash(channel, "compose", length=16)
    piece = (channel.last_message.embeds[0].footer.text or "").split(" ")[0]
    studio = simcord_env.bot.studio
    await crowd(studio, piece, f"discord:{grace.user.id}")
    given = {"PIECE": piece, "MODEL": f"{LONG_NAME}-07", "BEN": ben, "CHANNEL": channel}
    for name, options in ASKED.items():
        await grace.slash(channel, name, **{key: given.get(str(each), each) for key, each in options.items()})
    await grace.slash(channel, "show", file=("piece.mid", MIDI))
    for command, option in (("show", "id"), ("preset use", "name"), ("blind", "model"), ("admin model promote", "id")):
        await grace.autocomplete(channel, command, option, "")

    sent = [entry for entry in simcord_env.http_requests if entry.method in {"POST", "PATCH"} and entry.json]
    assert len(sent) > len(ASKED)
    assert not [(entry.path, found) for entry in sent for found in overflows(entry.json.get("data") or entry.json)]


def leaves(commands: Iterable[Any]) -> list[app_commands.Command[Any, ..., Any]]:
    """Every slash command, of whatever group."""
    found = []
    for each in commands:
        if isinstance(each, app_commands.Group):
            found += leaves(each.commands)
        elif isinstance(each, app_commands.Command):
            found.append(each)
    return found


def overflows(body: dict[str, Any]) -> list[str]:
    """What of a message, a form or a list of suggestions is more than Discord takes."""
    sizes: list[tuple[str, int, int]] = [
        ("content", len(body.get("content") or ""), limits.CONTENT_CHARACTERS_MAX),
        ("title", len(body.get("title") or ""), limits.MODAL_TITLE_CHARACTERS_MAX),
        ("attachments", len(body.get("attachments") or []), limits.ATTACHMENTS_MAX),
        ("choices", len(body.get("choices") or []), limits.OPTION_CHOICES_MAX),
        ("rows", len(body.get("components") or []), limits.ROWS_MAX),
        ("nonce", len(str(body.get("nonce") or "")), limits.NONCE_CHARACTERS_MAX),
        (
            "embeds",
            sum(len(discord.Embed.from_dict(each)) for each in body.get("embeds") or []),
            limits.EMBED_CHARACTERS_MAX,
        ),
    ]
    for choice in body.get("choices") or []:
        sizes += [(f"choice {part}", len(str(choice[part])), limits.CHOICE_NAME_CHARACTERS_MAX) for part in choice]
    for file in body.get("attachments") or []:
        size = len(file.get("description") or "")
        sizes.append(("description of a file", size, limits.ATTACHMENT_DESCRIPTION_CHARACTERS_MAX))
    for embed in body.get("embeds") or []:
        sizes += _embed_sizes(embed)
    for row in body.get("components") or []:
        sizes.append(("buttons", len(row.get("components") or []), limits.BUTTONS_PER_ROW_MAX))
        for item in row.get("components") or []:
            sizes += [
                ("custom id", len(item.get("custom_id") or ""), limits.CUSTOM_ID_CHARACTERS_MAX),
                ("label", len(item.get("label") or ""), limits.BUTTON_LABEL_CHARACTERS_MAX),
                ("options", len(item.get("options") or []), limits.SELECT_OPTIONS_MAX),
            ]
    empty = [f"{name} is empty" for embed in body.get("embeds") or [] for name in _empty(embed)]
    return [f"{name}: {size} > {most}" for name, size, most in sizes if size > most] + empty


def _embed_sizes(embed: dict[str, Any]) -> list[tuple[str, int, int]]:
    fields = embed.get("fields") or []
    return [
        ("embed title", len(embed.get("title") or ""), limits.EMBED_TITLE_CHARACTERS_MAX),
        ("embed description", len(embed.get("description") or ""), limits.EMBED_DESCRIPTION_CHARACTERS_MAX),
        ("footer", len((embed.get("footer") or {}).get("text") or ""), limits.EMBED_FOOTER_CHARACTERS_MAX),
        ("fields", len(fields), limits.EMBED_FIELDS_MAX),
        *(("field name", len(each["name"]), limits.EMBED_FIELD_NAME_CHARACTERS_MAX) for each in fields),
        *(("field value", len(each["value"]), limits.EMBED_FIELD_VALUE_CHARACTERS_MAX) for each in fields),
    ]


def _empty(embed: dict[str, Any]) -> list[str]:
    return [part for each in embed.get("fields") or [] for part in ("name", "value") if not each[part].strip()]


def test_the_check_finds_what_is_too_large() -> None:
    embed = {"title": "x" * 257, "fields": [{"name": "a", "value": "b" * 1025}] * 26}
    found = overflows({"content": "x" * 2001, "embeds": [embed], "components": [{"components": [{}] * 6}] * 6})
    for part in ("content", "embeds", "embed title", "fields", "field value", "rows", "buttons"):
        assert any(each.startswith(f"{part}:") for each in found), part


def test_lines_are_left_out_whole() -> None:
    assert whole_lines(["one", "two"], 100) == "one\ntwo"
    assert whole_lines([], 100) == ""
    assert whole_lines(["a" * 6, "b" * 6], 12) == "aaaaaa\n…"
    assert whole_lines(["a" * 60], 12) == "…"
    assert all(len(whole_lines(["ab"] * 50, most)) <= most for most in range(4, 200))
