"""How people write a request: `mood:dark length:200 temp:0.9 seed:7`, and how one is written back.

`OPTIONS` is the one table behind the parser, the help text and the typed options of Discord: an option is one entry.

Forgiven: any order, anything left out, `length=200`, `--length 200`, `length 200`, quotes, capitals, spaces around `:`
and `=`, a leading `/compose`, a mood or a space without its name (`dark`), decimal commas, and what phones make of
quotes and dashes. Not forgiven: an unknown or repeated option, a value that is not on offer; the sentence names the
nearest.
"""

from __future__ import annotations

import difflib
import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from data.errors import InvalidKey
from data.keys import Key
from data.moods import MOODS, Mood
from data.spaces import SPACES, Space
from engine.errors import InvalidRequest
from engine.types import (
    LENGTH_NOTES_DEFAULT,
    LENGTH_NOTES_MAX,
    LENGTH_NOTES_MIN,
    SEED_MAX,
    TEMPERATURE_DEFAULT,
    TEMPERATURE_MAX,
    TEMPERATURE_MIN,
    TEMPO_MAX_BPM,
    TEMPO_MIN_BPM,
    ComposeRequest,
)

TEXT_LENGTH_MAX = 1000  # characters; every option written out takes about 80
_ECHO_LENGTH = 24  # characters of a person's own text that a sentence repeats

Values = dict[str, Any]  # option name -> value of the field's type, in the order given


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a request may say.

    Attributes:
        name: as people type it.
        field: the attribute of ComposeRequest.
        says: one short line for people (Discord allows 100 characters).
        read: text, stripped and not empty, to the field's value; raises ValueError when it is not of that kind.
        expects: ends the sentence "temp is …".
        aliases: other names that are understood.
        choices: the only values, for a choice.
        low, high: the range, for a number.
        units: endings of a value that are dropped, as in `60bpm` and `60 bpm`.
        tails: words that may follow the first word of a value, as in `key:F# minor`.
        default: what is used when it is left out, for people to read; empty where `says` tells.
        auto: whether `auto` is understood as leaving it to the mood.
    """

    name: str
    field: str
    says: str
    read: Callable[[str], Any]
    expects: str
    aliases: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    units: tuple[str, ...] = ()
    tails: frozenset[str] = frozenset()
    default: str = ""
    auto: bool = False


def _read_whole(text: str) -> int:
    if re.fullmatch(r"[+-]?(\d+|\d{1,3}([,.'_ ]\d{3})+)", text) is None:
        raise ValueError(text)
    return int(re.sub(r"[,.'_ ]", "", text))


def _read_number(text: str) -> float:
    if re.fullmatch(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)(e[+-]?\d+)?", text, re.IGNORECASE) is None:
        raise ValueError(text)
    value = float(text.replace(",", "."))
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_key(text: str) -> Key:
    try:
        return Key.parse(text)
    except InvalidKey as error:
        raise ValueError(text) from error


def _either(words: Iterable[str]) -> str:
    *most, last = words
    return f"{', '.join(most)} or {last}" if most else last


OPTIONS: tuple[Option, ...] = (
    Option(
        "mood",
        "mood",
        "How it feels",
        lambda text: Mood(text.casefold()),
        _either(MOODS),
        aliases=("feel", "feeling"),
        choices=MOODS,
        default=Mood.DARK,
    ),
    Option(
        "length",
        "length_notes",
        f"How many notes, {LENGTH_NOTES_MIN} to {LENGTH_NOTES_MAX}",
        _read_whole,
        f"a whole number from {LENGTH_NOTES_MIN} to {LENGTH_NOTES_MAX} notes",
        aliases=("notes", "len"),
        low=LENGTH_NOTES_MIN,
        high=LENGTH_NOTES_MAX,
        units=("notes", "note"),
        default=str(LENGTH_NOTES_DEFAULT),
    ),
    Option(
        "temp",
        "temperature",
        f"How daring, {TEMPERATURE_MIN} (predictable) to {TEMPERATURE_MAX} (wild)",
        _read_number,
        f"a number from {TEMPERATURE_MIN} to {TEMPERATURE_MAX}",
        aliases=("temperature",),
        low=TEMPERATURE_MIN,
        high=TEMPERATURE_MAX,
        default=str(TEMPERATURE_DEFAULT),
    ),
    Option(
        "tempo",
        "tempo_bpm",
        f"Beats a minute, {TEMPO_MIN_BPM} to {TEMPO_MAX_BPM}; left out, it suits the mood",
        _read_whole,
        f"a whole number from {TEMPO_MIN_BPM} to {TEMPO_MAX_BPM} beats a minute",
        aliases=("bpm", "speed"),
        low=TEMPO_MIN_BPM,
        high=TEMPO_MAX_BPM,
        units=("bpm",),
        auto=True,
    ),
    Option(
        "key",
        "key",
        "Such as Am, F# or Bb minor; left out, it suits the mood",
        _read_key,
        "a letter A to G, # or b, and m for minor, as in Am, F# or Bbm",
        tails=frozenset({"minor", "major", "min", "maj", "flat", "sharp", "m", "#", "b", "♯", "♭"}),
        auto=True,
    ),
    Option(
        "space",
        "space",
        "The room it sounds in; left out, it suits the mood",
        lambda text: Space(text.casefold()),
        _either(SPACES),
        aliases=("room", "reverb"),
        choices=SPACES,
        auto=True,
    ),
    Option(
        "seed",
        "seed",
        "A number: the same request with the same seed gives the same piece",
        _read_whole,
        f"a whole number from 0 to {SEED_MAX}",
        low=0,
        high=SEED_MAX,
        default="new each time",
        auto=True,
    ),
)
_BY_CHOICE = {str(choice): option for option in OPTIONS for choice in option.choices}
_BY_NAME = {name: option for option in OPTIONS for name in (option.name, *option.aliases)}


def parse_request(text: str, defaults: Mapping[str, Any] | None = None) -> ComposeRequest:
    """Read a request as a person typed it.

    Args:
        text: such as `mood:dark length:200 temp:0.9`; empty means the defaults.
        defaults: values for what the text leaves out, as from `parse_values` (a preset, a server's defaults).

    Raises:
        InvalidRequest: one sentence, on one line: what is wrong, what is allowed, what may have been meant.
    """
    return build_request({**(defaults or {}), **parse_values(text)})


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
            wrong.name, f"{wrong.name} is {wrong.expects}, not {_echo(value)}: did you mean {nearest}?"
        ) from None


def format_request(request: ComposeRequest) -> str:
    """Write a request so that `parse_request` reads the same one: `mood:dark length:200 temp:0.9 seed:7`."""
    return format_values({option.name: getattr(request, option.field) for option in OPTIONS})


def format_values(values: Mapping[str, Any]) -> str:
    """Write values (as from `parse_values`) back as text, in the order of the table."""
    return " ".join(f"{option.name}:{values[option.name]}" for option in OPTIONS if values.get(option.name) is not None)


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
                f"{option.name} is given twice, as {_echo(texts[option.name])} and {_echo(value)}: give it once.",
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
        raise InvalidRequest("", f"A request has at most {TEXT_LENGTH_MAX} characters.")
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
        raise InvalidRequest(option.name, f"{option.name} has no value: it is {option.expects}.")
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
        meant = _nearest(value, option.choices)
        hint = f" (did you mean {meant}?)" if meant else ""
        raise InvalidRequest(option.name, f"{option.name} is {option.expects}, not {_echo(text)}{hint}.") from None


def _unknown(word: str, name: str, value: str) -> str:
    allowed = _either(option.name for option in OPTIONS)
    if not name.strip("-"):
        return f"{_echo(word)} has no name: write it as one of {allowed}, such as mood:dark."
    if not value and re.fullmatch(r"[+-]?[\d.,]+", name):
        option = _BY_NAME["temp" if re.search(r"[.,]", name) else "length"]
        return f"{_echo(name)} stands alone: did you mean {option.name}:{_clip(name)}?"
    meant = _nearest(name, _BY_NAME)
    choice = None if meant or value else _nearest(name, _BY_CHOICE)
    meant = meant or (choice and f"{_BY_CHOICE[choice].name}:{choice}")
    hint = f" (did you mean {meant}?)" if meant else ""
    return f"{_echo(name)} is not an option{hint}: choose {allowed}."


def _nearest(text: str, names: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(text.casefold()[:_ECHO_LENGTH], list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def _clip(text: str) -> str:
    text = "".join(letter for letter in text if letter.isprintable())
    return text if len(text) <= _ECHO_LENGTH else text[: _ECHO_LENGTH - 1] + "…"


def _echo(value: object) -> str:
    """A person's own value, short and on one line; text in quotes, numbers bare."""
    return f"'{_clip(value)}'" if isinstance(value, str) else _clip(str(value))
