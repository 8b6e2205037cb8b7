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
