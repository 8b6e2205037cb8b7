"""A title for each piece, drawn with the seed of its request: the same request has the same title."""

from __future__ import annotations

from data.moods import Mood
from engine.plan import randomness
from engine.types import ComposeRequest

_TITLE_STREAM = 2

_QUALITIES: dict[Mood, tuple[str, ...]] = {
    Mood.DARK: ("Black", "Sunless", "Hollow", "Buried", "Drowned", "Nameless", "Cold", "Unlit"),
    Mood.AMBIENT: ("Slow", "Wide", "Drifting", "Quiet", "Soft", "Distant", "Weightless", "Still"),
    Mood.TENSE: ("Failing", "Hunted", "Red", "Fractured", "Closing", "Sealed", "Countdown", "Breached"),
    Mood.MYSTERIOUS: ("Veiled", "Unknown", "Ninth", "Encrypted", "Half-Seen", "Forgotten", "Silent", "Lost"),
    Mood.MELANCHOLIC: ("Last", "Fading", "Empty", "Grey", "Abandoned", "Late", "Lonely", "Autumn"),
    Mood.ETHEREAL: ("Glass", "Pale", "Luminous", "Floating", "Crystal", "Feathered", "Silver", "Thin"),
    Mood.HOPEFUL: ("First", "Rising", "Warm", "New", "Golden", "Open", "Waking", "Bright"),
    Mood.EPIC: ("Iron", "Great", "Burning", "Titan", "Endless", "Thundering", "Crowned", "Thousandfold"),
}
_THINGS: tuple[str, ...] = (
    "Orbit", "Airlock", "Signal", "Horizon", "Monolith", "Reactor", "Nebula", "Archive", "Beacon", "Corridor",
    "Station", "Ocean", "Machine", "Moon", "Transmission", "Garden", "Hull", "Colony", "Cathedral", "Void", "Descent",
    "Engine", "Sleep", "Threshold", "Aurora", "Satellite", "Threnody", "Expanse", "Return", "Voyage", "Dust", "Gravity",
)  # fmt: skip
_NUMBERED_SHARE = 0.15  # now and then a catalogue number, as on a survey map


def title(request: ComposeRequest) -> str:
    """The title of a request, such as `Hollow Orbit` or `Pale Moon 47`."""
    rng = randomness(request.seed, _TITLE_STREAM)
    qualities = _QUALITIES[request.mood]
    words = f"{qualities[rng.integers(len(qualities))]} {_THINGS[rng.integers(len(_THINGS))]}"
    return f"{words} {rng.integers(2, 100)}" if rng.random() < _NUMBERED_SHARE else words
