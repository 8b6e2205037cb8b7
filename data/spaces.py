"""The rooms that a piece can sound in."""

from __future__ import annotations

from enum import StrEnum

from data.moods import Mood


class Space(StrEnum):
    """What a person asks for with `space:`; each mood has its own where nobody asks."""

    VOID = "void"
    CATHEDRAL = "cathedral"
    HANGAR = "hangar"
    TAPE = "tape"
    DRY = "dry"


SPACES: tuple[Space, ...] = tuple(Space)

SAYS: dict[Space, str] = {
    # One line for people.
    Space.VOID: "no walls: a dark bloom that takes nine seconds to fade",
    Space.CATHEDRAL: "stone and height: long, clear, bright at first",
    Space.HANGAR: "metal walls far apart: echoes before a hard tail",
    Space.TAPE: "a small warm room through an old machine: soft treble, saturation",
    Space.DRY: "hardly any room: close and clear",
}

DEFAULT_SPACES: dict[Mood, Space] = {
    # Long reverberation is heard as vast and solemn, short as close and personal (Västfjäll, Larsson & Kleiner 2002).
    Mood.DARK: Space.VOID,
    Mood.AMBIENT: Space.VOID,
    Mood.TENSE: Space.HANGAR,
    Mood.MYSTERIOUS: Space.HANGAR,
    Mood.MELANCHOLIC: Space.TAPE,
    Mood.ETHEREAL: Space.CATHEDRAL,
    Mood.HOPEFUL: Space.TAPE,
    Mood.EPIC: Space.CATHEDRAL,
}
