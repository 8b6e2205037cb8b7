"""Titles: two or three words that belong to the mood."""

from __future__ import annotations

import numpy as np

from data.moods import Mood

_THINGS = (
    "Airlock", "Antenna", "Archive", "Beacon", "Cargo Bay", "Colony", "Corridor", "Dead Orbit", "Deep Field",
    "Derelict",
    "Drift", "Dust", "Eclipse", "Engine Room", "Event Horizon", "Freighter", "Gravity Well", "Hangar", "Heliopause",
    "Hull", "Ice Moon", "Lander", "Lagrange Point", "Monolith", "Night Side", "Observatory", "Outpost", "Parallax",
    "Perigee", "Probe", "Pulsar", "Relay", "Ring System", "Satellite", "Signal", "Solar Sail", "Station", "Telemetry",
    "Terminator Line", "Transit", "Tundra", "Vacuum", "Vault", "Waypoint", "Wreck", "Zero Hour",
)  # fmt: skip
_WORDS: dict[Mood, tuple[str, ...]] = {
    Mood.DARK: ("Black", "Buried", "Hollow", "Lightless", "Rusted", "Sunken", "Silent", "Starless"),
    Mood.AMBIENT: ("Distant", "Floating", "Pale", "Slow", "Soft", "Still", "Unhurried", "Wide"),
    Mood.TENSE: ("Breaching", "Burning", "Closing", "Hunted", "Red", "Severed", "Unstable", "Warning"),
    Mood.MYSTERIOUS: ("Encrypted", "Forgotten", "Glass", "Hidden", "Nameless", "Second", "Shifting", "Unlit"),
    Mood.MELANCHOLIC: ("Abandoned", "Fading", "Grey", "Last", "Lost", "November", "Old", "Rain on the"),
    Mood.ETHEREAL: ("Aurora over the", "Celestial", "Luminous", "Opal", "Silver", "Translucent", "Weightless", "White"),
    Mood.HOPEFUL: ("Bright", "First", "Morning at the", "New", "Rising", "Returning", "Sunlit", "Open"),
    Mood.EPIC: ("Ascending", "Colossal", "Eternal", "Iron", "Last Stand at the", "Sovereign", "Thundering", "Titan"),
}
_ENDS = ("", "", "", "", " at Dawn", " I", " II", " III", " Below", " Beyond", " in the Rain", " Remembered", " Seven")


def title(rng: np.random.Generator, mood: Mood) -> str:
    """A title such as `Silent Relay II`, drawn with `rng`."""
    first, thing, end = (words[int(rng.integers(len(words)))] for words in (_WORDS[mood], _THINGS, _ENDS))
    return f"{first} {thing}{end}"
