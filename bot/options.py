"""What a request may say: the one table behind the parser, the help text and the typed options of Discord."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from data.errors import InvalidKey
from data.keys import Key
from data.moods import MOODS, Mood
from data.phrases import Phrase
from data.spaces import SPACES, Space
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
)


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
    expects: Phrase
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


def either(words: Iterable[str]) -> Phrase:
    """`a, b or c`."""
    *most, last = words
    return Phrase("{most} or {last}", most=", ".join(most), last=last) if most else Phrase(last)


def nearest(typed: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The name that was probably meant, or None; `cutoff` as in difflib, 0 (anything) to 1 (only the name itself)."""
    return next(iter(difflib.get_close_matches(typed, list(names), n=1, cutoff=cutoff)), None)


def echo(typed: str, most: int = 24) -> str:
    """What somebody typed as a sentence repeats it: its first characters, those that can be shown."""
    return "".join(letter for letter in typed[:most] if letter.isprintable())


def did_you_mean(word: str | None) -> Phrase:
    """The question to put behind what somebody typed, or nothing."""
    return Phrase(" (did you mean {word}?)", word=word) if word else Phrase("")


OPTIONS: tuple[Option, ...] = (
    Option(
        "mood",
        "mood",
        "How it feels",
        lambda text: Mood(text.casefold()),
        either(MOODS),
        aliases=("feel", "feeling"),
        choices=MOODS,
        default=Mood.DARK,
    ),
    Option(
        "length",
        "length_notes",
        f"How many notes, {LENGTH_NOTES_MIN} to {LENGTH_NOTES_MAX}",
        _read_whole,
        Phrase("a whole number from {low} to {high} notes", low=LENGTH_NOTES_MIN, high=LENGTH_NOTES_MAX),
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
        Phrase("a number from {low} to {high}", low=TEMPERATURE_MIN, high=TEMPERATURE_MAX),
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
        Phrase("a whole number from {low} to {high} beats a minute", low=TEMPO_MIN_BPM, high=TEMPO_MAX_BPM),
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
        Phrase("a letter A to G, # or b, and m for minor, as in Am, F# or Bbm"),
        tails=frozenset({"minor", "major", "min", "maj", "flat", "sharp", "m", "#", "b", "♯", "♭"}),
        auto=True,
    ),
    Option(
        "space",
        "space",
        "The room it sounds in; left out, it suits the mood",
        lambda text: Space(text.casefold()),
        either(SPACES),
        aliases=("room", "reverb"),
        choices=SPACES,
        auto=True,
    ),
    Option(
        "seed",
        "seed",
        "A number: the same request with the same seed gives the same piece",
        _read_whole,
        Phrase("a whole number from {low} to {high}", low=0, high=SEED_MAX),
        low=0,
        high=SEED_MAX,
        default="new each time",
        auto=True,
    ),
)
