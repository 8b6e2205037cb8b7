"""What people read in Discord, in their language.

English is the source: the English sentence itself is the key, so that the code reads like what it says. A language is a
TOML file beside this module (`locales/de.toml`: English sentence = translation); what it lacks is shown in English, and
a test fails for it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import discord
from discord import app_commands

from data.phrases import Phrase

LANGUAGES = ("de", "es", "fr", "ja")  # besides English

_FOLDER = Path(__file__).parent / "locales"


@cache
def catalogue(language: str) -> dict[str, str]:
    """English sentence -> translation, for one of LANGUAGES."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        texts: dict[str, str] = tomllib.load(file)
    return texts


def language_of(locale: discord.Locale | str | None) -> str:
    """`de` for any German, `es` for Spanish of Spain and of Latin America; `en` for a language that we do not speak."""
    language = str(locale or "en").partition("-")[0]
    return language if language in LANGUAGES else "en"


def server_locale(client: discord.Client, guild_id: str | None) -> discord.Locale | None:
    """The language of a server; None for none, and for one that the bot is not in."""
    guild = None if guild_id is None else client.get_guild(int(guild_id))
    return None if guild is None else guild.preferred_locale


def say(locale: discord.Locale | str | None, text: str | Phrase, /, **values: object) -> str:
    """A sentence in the reader's language, its `{placeholders}` filled in.

    Args:
        locale: the reader's, as Discord tells it with each interaction; None is English.
        text: the English sentence, word for word as in the catalogues.
        values: for the placeholders; the same names in every language. Phrases among them are translated too.
    """
    if isinstance(text, Phrase):
        return say(locale, text.text, **text.values)
    language = language_of(locale)
    translated = text if language == "en" else catalogue(language).get(text, text)
    if not values:
        return translated
    return translated.format(
        **{name: say(locale, value) if isinstance(value, Phrase) else value for name, value in values.items()}
    )


# A command and its options have one name everywhere, so that `/compose mood:dark` can be copied from anybody. An entry
# of a menu is not typed.
_NAMES = frozenset(
    {
        app_commands.TranslationContextLocation.command_name,
        app_commands.TranslationContextLocation.group_name,
        app_commands.TranslationContextLocation.parameter_name,
    }
)


class Translator(app_commands.Translator):
    """Gives Discord the descriptions of commands and options, and the choices, in every language of ours."""

    async def translate(
        self, string: app_commands.locale_str, locale: discord.Locale, context: app_commands.TranslationContextTypes
    ) -> str | None:
        """The text in that language, or None where we have none (Discord then shows the English one)."""
        language = language_of(locale)
        named = context.location in _NAMES and not isinstance(context.data, app_commands.ContextMenu)
        if language == "en" or named:
            return None
        return catalogue(language).get(string.message)


def whole_lines(lines: Iterable[str], characters_max: int) -> str:
    """As many whole lines as fit, and a last "…" for those that do not.

    A line that is cut in the middle could show half of its markup.
    """
    text = ""
    for line in lines:
        longer = f"{text}\n{line}" if text else line
        if len(longer) > characters_max - len("\n…"):
            return f"{text}\n…" if text else "…"
        text = longer
    return text


def plain(text: str) -> str:
    """Text of a person as itself: no markdown, no mention, no link text."""
    return discord.utils.escape_mentions(discord.utils.escape_markdown(text))
