"""How people write a request: `mood:dark length:200 temp:0.9 seed:7`, and how one is written back.

What it may say is in `bot.options`, where a new option is one entry.

Forgiven: any order, anything left out, `length=200`, `--length 200`, `length 200`, quotes, capitals, spaces around `:`
and `=`, a leading `/compose`, a mood or a space without its name (`dark`), decimal commas, and what phones make of
quotes and dashes. Not forgiven: an unknown or repeated option, a value that is not on offer; the sentence names the
nearest.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from bot.options import OPTIONS, Option, did_you_mean, either, nearest
from data.phrases import Phrase
from engine.errors import InvalidRequest
from engine.types import ComposeRequest

TEXT_LENGTH_MAX = 1000  # characters; every option written out takes about 80
_ECHO_LENGTH = 24  # characters of a person's own text that a sentence repeats

Values = dict[str, Any]  # option name -> value of the field's type, in the order given


_BY_CHOICE = {str(choice): option for option in OPTIONS for choice in option.choices}
_BY_NAME = {name: option for option in OPTIONS for name in (option.name, *option.aliases)}


def parse_request(text: str) -> ComposeRequest:
    """Read a request as a person typed it.

    Args:
        text: such as `mood:dark length:200 temp:0.9`; empty means the defaults.

    Raises:
        InvalidRequest: one sentence, on one line: what is wrong, what is allowed, what may have been meant.
    """
    return build_request(parse_values(text))


def build_request(values: Mapping[str, Any]) -> ComposeRequest:
    """Make a request from option names and values of the right type, as Discord's typed options give them.

    A value that is a string is read like typed text; None for an option that knows no `auto` means that it is left out.

    Raises:
        InvalidRequest: as `parse_request`.
    """
    fields: dict[str, Any] = {}
    for name, given in values.items():
        option = _BY_NAME[name]
        value = _read(option, given) if isinstance(given, str) and given not in option.choices else given
        if option.choices and isinstance(value, str):
            value = option.read(value)
        if value is not None:
            fields[option.field] = value
    try:
        return ComposeRequest(**fields)
    except InvalidRequest as error:
        # The constructor alone judges ranges; its sentence gains what was given and the nearest that is allowed.
        wrong = _BY_NAME.get(error.field)
        value = fields.get(wrong.field) if wrong is not None else None
        if wrong is None or wrong.low is None or wrong.high is None or not isinstance(value, int | float):
            raise
        nearest = wrong.low if value < wrong.low else wrong.high
        raise InvalidRequest(
            wrong.name,
            "{name} is {expects}, not {given}: did you mean {nearest}?",
            name=wrong.name,
            expects=wrong.expects,
            given=_echo(value),
            nearest=nearest,
        ) from None


def format_request(request: ComposeRequest) -> str:
    """Write a request so that `parse_request` reads the same one: `mood:dark length:200 temp:0.9 seed:7`."""
    return format_values(values_of(request))


def values_of(request: ComposeRequest) -> Values:
    """What a request says: option name -> value, without what it leaves open."""
    fields = {option.name: getattr(request, option.field) for option in OPTIONS}
    return {name: value for name, value in fields.items() if value is not None}


def format_values(values: Mapping[str, Any]) -> str:
    """Write values back as `parse_values` reads them, in the order of the table."""
    said = {name: "auto" if value is None else value for name, value in values.items()}
    return " ".join(f"{option.name}:{said[option.name]}" for option in OPTIONS if option.name in said)


def parse_values(text: str) -> Values:
    """Read only what the text says, without making a request of it: for presets and defaults.

    Returns:
        option name -> value; None where the text says `auto`.

    Raises:
        InvalidRequest: as `parse_request`; ranges are judged only when a request is made.
    """
    words = _words(text)
    values: Values = {}
    texts: dict[str, str] = {}
    while words:
        option, value = _take(words)
        if option.name in values:
            raise InvalidRequest(
                option.name,
                "{name} is given twice, as {first} and {second}: give it once.",
                name=option.name,
                first=_echo(texts[option.name]),
                second=_echo(value),
            )
        values[option.name] = _read(option, value)
        texts[option.name] = value
    return values


# What keyboards and phones make of plain signs. Quotes and code marks carry no meaning here: they become spaces.
_PLAIN = str.maketrans(
    dict.fromkeys("\"'`´‘’‚‛“”„‟«»‹›", " ")  # noqa: RUF001 - look-alikes are the point of this table
    | dict.fromkeys("‐‑‒–—―−⸺⸻", "-")  # noqa: RUF001
    | {"꞉": ":", "∶": ":", ";": " "},  # noqa: RUF001
)


def _words(text: str) -> list[str]:
    """Split into words; `name:value` becomes one word whatever spaces were around the sign."""
    if len(text) > TEXT_LENGTH_MAX:
        raise InvalidRequest("", "A request has at most {n} characters.", n=TEXT_LENGTH_MAX)
    whole = re.sub(r"[\ud800-\udfff]", "\ufffd", text)  # what is left of bytes that were no text
    plain = unicodedata.normalize("NFKC", whole.translate(_PLAIN)).translate(_PLAIN)
    plain = "".join(
        " " if unicodedata.category(letter) in {"Cc", "Zs", "Zl", "Zp"} else letter
        for letter in plain
        if unicodedata.category(letter) not in {"Cf", "Mn"}  # invisible: joiners, variation selectors
    )
    plain = re.sub(r"\s*[:=]+\s*", ":", plain)
    plain = re.sub(r",(?=\s|$)", " ", plain)
    words = plain.split()
    if words and words[0].casefold().lstrip("/!") == "compose":
        del words[0]
    return words


def _take(words: list[str]) -> tuple[Option, str]:
    """Remove one option with its value from the front of `words`."""
    word = words.pop(0)
    bare = re.sub(r"^(-+|/)(?=\D)", "", word)
    name, colon, value = bare.partition(":")
    option = _BY_NAME.get(name.casefold().replace("_", "-"))
    if option is None:
        if not colon and bare == word and bare.casefold() in _BY_CHOICE:
            return _BY_CHOICE[bare.casefold()], bare
        raise InvalidRequest("", _unknown(word, name, value))
    if not colon and words and words[0].partition(":")[0].lstrip("-").casefold() not in _BY_NAME:
        value = words.pop(0)
    if not value or value.partition(":")[0].lstrip("-").casefold() in _BY_NAME:
        raise InvalidRequest(
            option.name, "{name} has no value: it is {expects}.", name=option.name, expects=option.expects
        )
    while words and words[0].casefold() in (*option.tails, *option.units):
        value = f"{value} {words.pop(0)}"
    return option, value


def _read(option: Option, text: str) -> Any:
    value = text.strip()
    if option.auto and value.casefold() in {"auto", "any", "random", "none"}:
        return None
    for unit in option.units:
        if value.casefold().endswith(unit):
            value = value[: -len(unit)].strip()
            break
    try:
        return option.read(value)
    except ValueError:
        meant = nearest(value.casefold()[:_ECHO_LENGTH], option.choices)
        raise InvalidRequest(
            option.name,
            "{name} is {expects}, not {given}{hint}.",
            name=option.name,
            expects=option.expects,
            given=_echo(text),
            hint=did_you_mean(meant),
        ) from None


def _unknown(word: str, name: str, value: str) -> Phrase:
    allowed = either(option.name for option in OPTIONS)
    if not name.strip("-"):
        text = "{word} has no name: write it as one of {allowed}, such as mood:dark."
        return Phrase(text, word=_echo(word), allowed=allowed)
    if not value and re.fullmatch(r"[+-]?[\d.,]+", name):
        option = _BY_NAME["temp" if re.search(r"[.,]", name) else "length"]
        text = "{word} stands alone: did you mean {meant}?"
        return Phrase(text, word=_echo(name), meant=f"{option.name}:{_clip(name)}")
    close = nearest(name.casefold()[:_ECHO_LENGTH], _BY_NAME)
    meant = close and _BY_NAME[close].name
    choice = None if meant or value else nearest(name.casefold()[:_ECHO_LENGTH], _BY_CHOICE)
    meant = meant or (choice and f"{_BY_CHOICE[choice].name}:{choice}")
    text = "{word} is not an option{hint}: choose {allowed}."
    return Phrase(text, word=_echo(name), hint=did_you_mean(meant), allowed=allowed)


def _clip(text: str) -> str:
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= _ECHO_LENGTH else text[: _ECHO_LENGTH - 1] + "…"


def _echo(value: object) -> str:
    """A person's own value, short and on one line; text in quotes, numbers bare."""
    return f"'{_clip(value)}'" if isinstance(value, str) else _clip(str(value))
