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
from bot.grammar import OPTIONS
from bot.history import State
from bot.ratings import SCALES
from bot.training import PRESETS
from data.moods import MOODS, PROFILES

MENU = discord.AppCommandType.message.value
SOURCES = sorted(Path(bot.discord.__path__[0]).glob("*.py"))


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


def said_through_variables() -> set[str]:
    """What `say` is given in variables: the tables of this front end and of the packages below it."""
    texts = {*MOODS, *(profile.says for profile in PROFILES.values()), *State, *SCALES, *SCALES.values()}
    texts |= {text for option in OPTIONS for text in (option.name, option.says, option.default)}
    texts |= {look.label for look in buttons.LOOKS.values()}
    texts |= set(embeds.RELATIONS.values()) | set(actions.FAVOURITE_SENTENCES) | set(privacy.SENTENCES)
    texts |= {*models.RUN_STATES, "Refresh", *blind.LABELS}
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
    every = said_in_code() | said_through_variables() | commands
    return {text for text in every if re.search(r"[^\W\d]", text)} - {*PRESETS}  # names need no translation


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


async def test_a_reply_is_in_the_readers_language(monkeypatch, channel, ada, closing) -> None:
    del closing
    from simcord import interactions  # noqa: PLC0415

    original = interactions.base_payload

    def german(*args: Any, **kwargs: Any) -> Any:
        record, payload = original(*args, **kwargs)
        return record, payload | {"locale": "de"}

    monkeypatch.setattr(interactions, "base_payload", german)
    await ada.slash(channel, "compose")

    assert catalogue("de")["The same again"] in {field.name for field in channel.last_message.embeds[0].fields}


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
