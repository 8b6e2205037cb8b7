"""Every sentence that the Discord front end can say exists in every language, with the same placeholders."""

import ast
import re
from pathlib import Path
from typing import Any

import discord
import pytest

import bot.discord
from bot.discord import actions, blind, buttons, embeds, models, privacy
from bot.discord.sync import command_payload
from bot.discord.texts import LANGUAGES, catalogue, language_of, say
from bot.errors import BROKEN_HERE
from bot.history import State
from bot.options import OPTIONS
from bot.ratings import SCALES
from bot.training import PRESETS
from data.licensing import ACCEPTED
from data.moods import MOODS, PROFILES
from engine.errors import RenderFailed

MENU = discord.AppCommandType.message.value
SOURCES = sorted(Path(bot.discord.__path__[0]).glob("*.py"))

# Whose sentences people are told in Discord, wherever in the project they are raised; and what such sentences are
# made of. `SetupProblem` and what is below it is for whoever runs the bot, in English, as in the log.
TOLD = {
    *("InvalidRequest", "InvalidMidi", "NotFound", "NotAllowed", "Cancelled", "Busy", "LimitReached", "Unexpected"),
    *("EngineClosed", "RenderFailed", "SynthesiserEnded", "TooLarge", "Undeliverable", "Phrase"),
}
_IN_A_TERMINAL = {"chat.py", "cli.py", "console.py", "terminal.py"}
ROOT = Path(bot.discord.__path__[0]).parents[1]
ELSEWHERE = ""  # what is found in another place
RAISING = sorted(
    path
    for package in ("bot", "data", "engine")
    for path in (ROOT / package).rglob("*.py")
    if path.name not in _IN_A_TERMINAL and path.parent.name != "composer"
)


def said_in_code() -> set[str]:
    """The second argument of every call of `say` (and of the third, of `_say`), as far as it is written out there."""
    found = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"say", "_say"}):
                continue
            found |= {leaf.value for leaf in _strings(node.args[1])} if len(node.args) > 1 else set()
    return found


def _strings(node: ast.expr) -> list[ast.Constant]:
    if isinstance(node, ast.IfExp):
        return [*_strings(node.body), *_strings(node.orelse)]
    return [node] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def sentences_of(source: Path) -> tuple[set[str], list[str]]:
    """The sentences of what is raised in a file, and the places where one is not written out and cannot be found."""
    tree = ast.parse(source.read_text(encoding="utf-8"))
    found, lost = set(), []
    for scope in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))]:
        named: dict[str, set[str | None]] = {}
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and scope is not tree:
                named.setdefault(node.targets[0].id, set()).update(_said(node.value, {}))
        for node in ast.walk(scope):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
            if isinstance(node, ast.Call) and name in TOLD and node.args:
                said = _said(node.args[1 if name == "InvalidRequest" else 0], named)
                found |= {text for text in said if text is not None}
                if None in said:
                    lost.append(f"{source.relative_to(ROOT)}:{node.lineno}")
    return found, lost


def _said(sentence: ast.expr, named: dict[str, set[str | None]]) -> set[str | None]:
    """The texts that an expression can be; None for one that is put together where no translator finds it."""
    if isinstance(sentence, ast.Name):
        return named.get(sentence.id, {ELSEWHERE})
    if isinstance(sentence, ast.Call | ast.Attribute):  # of `say`, or a phrase: found where that is made
        return {ELSEWHERE}
    return {leaf.value for leaf in _strings(sentence)} or {None}


def raised() -> set[str]:
    """Every sentence that an error tells people."""
    return set().union(*(sentences_of(source)[0] for source in RAISING))


def test_no_error_is_told_in_words_that_cannot_be_translated() -> None:
    lost = [place for source in RAISING for place in sentences_of(source)[1]]
    assert not lost, f"write the sentence as a template and give its values by name: {lost}"


def said_through_variables() -> set[str]:
    """What `say` is given in variables: the tables of this front end and of the packages below it."""
    texts = {*MOODS, *(profile.says for profile in PROFILES.values()), *State, *SCALES, *SCALES.values()}
    texts |= {text for option in OPTIONS for text in (option.name, option.says, option.default)}
    texts |= {look.label for look in buttons.LOOKS.values()}
    texts |= set(embeds.RELATIONS.values()) | set(actions.FAVOURITE_SENTENCES) | set(privacy.SENTENCES)
    texts |= {*models.RUN_STATES, "Refresh", *blind.LABELS, BROKEN_HERE}
    texts |= {embeds.NOTHING_YET, embeds.NOTHING_STARRED}
    return texts


def described(node: dict[str, Any]) -> set[str]:
    """Descriptions and choices of a command with everything below it."""
    texts = {node["description"]} if node.get("description") else set()
    for choice in node.get("choices", []):
        texts.add(choice["name"])
    for child in node.get("options", []):
        texts |= described(child)
    return texts


async def every_text(simcord_env) -> set[str]:
    payload = await command_payload(simcord_env.bot.tree)
    commands = set().union(*(described(command) for command in payload))
    commands |= {command["name"] for command in payload if command["type"] == MENU}
    every = said_in_code() | said_through_variables() | commands | raised()
    return {text for text in every if re.search(r"[^\W\d]", text)} - {*PRESETS, *ACCEPTED}  # names need no translation


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_sentence_is_missing_in_a_language(simcord_env, closing, language: str) -> None:
    del closing
    missing = await every_text(simcord_env) - catalogue(language).keys()

    assert not missing, f"{language} lacks:\n" + "\n".join(sorted(missing))


@pytest.mark.parametrize("language", LANGUAGES)
async def test_no_language_has_sentences_that_nobody_says(simcord_env, closing, language: str) -> None:
    del closing
    unsaid = catalogue(language).keys() - await every_text(simcord_env)
    assert not unsaid, sorted(unsaid)


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_the_placeholders_of_the_english_sentence(language: str) -> None:
    for english, translated in catalogue(language).items():
        assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", translated)), english


async def test_discord_is_given_the_translations(simcord_env, closing) -> None:
    del closing
    payload = await command_payload(simcord_env.bot.tree)
    (compose,) = (command for command in payload if command["name"] == "compose")
    (entry,) = (command for command in payload if command["type"] == MENU)
    assert set(LANGUAGES) <= {locale.partition("-")[0] for locale in entry["name_localizations"]}
    assert set(LANGUAGES) <= {locale.partition("-")[0] for locale in compose["description_localizations"]}
    # A command and its options are typed the same everywhere.
    assert not compose["name_localizations"]
    assert not any(option.get("name_localizations") for option in compose["options"])


@pytest.fixture
def german(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everybody reads German."""
    from simcord import interactions  # noqa: PLC0415

    original = interactions.base_payload

    def base_payload(*args: Any, **kwargs: Any) -> Any:
        record, payload = original(*args, **kwargs)
        return record, payload | {"locale": "de"}

    monkeypatch.setattr(interactions, "base_payload", base_payload)


@pytest.mark.usefixtures("closing", "german")
async def test_a_reply_is_in_the_readers_language(channel, ada) -> None:
    await ada.slash(channel, "compose")

    assert catalogue("de")["The same again"] in {field.name for field in channel.last_message.embeds[0].fields}


@pytest.mark.usefixtures("closing", "german")
async def test_a_mistake_is_told_in_the_readers_language(house, channel, ada) -> None:
    assert "nicht 'H'" in (await ada.slash(channel, "compose", key="H")).response.content
    house.engine.fails.append(RenderFailed("The synthesiser gave only silence for this piece: try another seed."))
    assert "nur Stille" in (await ada.slash(channel, "compose")).followups[0].content
    assert "kein Stück 'nothing'" in (await ada.slash(channel, "show", id="nothing")).response.content


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        (discord.Locale.german, "de"),
        (discord.Locale.latin_american_spanish, "es"),
        (discord.Locale.japanese, "ja"),
        (discord.Locale.british_english, "en"),
        (discord.Locale.polish, "en"),
        (None, "en"),
    ],
)
def test_each_locale_has_a_language(locale: discord.Locale | None, language: str) -> None:
    assert language_of(locale) == language


def test_braces_of_a_person_do_no_harm() -> None:
    assert say(None, "For {who}:", who="{boom}") == "For {boom}:"
