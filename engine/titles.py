"""A title for each piece, drawn with the seed of its request: the same request has the same title."""

from __future__ import annotations

from data import titles
from engine.plan import randomness
from engine.types import ComposeRequest

_TITLE_STREAM = 2  # apart from the notes (0) and the plan (1)


def title(request: ComposeRequest) -> str:
    """The title of a request, such as `Silent Relay II`."""
    return titles.title(randomness(request.seed, _TITLE_STREAM), request.mood)
