"""Casting: which textures play in a piece, on which parts, and from which tension on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.composer.chance import between, happens, pick, shuffled, weighed
from data.composer.melodic import Counterline, Follower, Melody, Singer
from data.composer.moving import Arpeggio, Bells, Loops, Ostinato, Pulse, RolledChords, Stabs
from data.composer.rhythm import Meter
from data.composer.stage import Stage, Texture
from data.composer.style import FIXED_PARTS, PART_RANGES, SINGING_RANGES, MoodStyle
from data.composer.sustained import Bass, Chorale, Drone, Pad, Shimmer
from data.composer.transitions import Transition
from data.score import Part

_HOLDING = (Drone, Pad, Chorale)  # not the bass: plucked and synthesiser basses die away within a bar
_FIGURES = frozenset({"arpeggio", "ostinato", "loops"})
_LEADING_IN = (Part.PLUCK, Part.STRINGS, Part.TEXTURE, Part.BELL, Part.CHOIR)
_LAYERED_FORMS = frozenset({"accumulation", "ebb"})


@dataclass(slots=True)
class Player:
    """A texture and when it plays."""

    texture: Texture
    part: Part
    enters: float  # tension in [0, 1] from which it plays
    labels: str = "ABC"  # sections in which it plays
    rests: float = 0.0  # probability that it leaves out a section below the climax, to come back fresh


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Everybody who plays in one piece: the accompaniment in order, then melody and what depends on it."""

    players: tuple[Player, ...]
    melody: Melody
    followers: tuple[Texture, ...]  # they read what the melody has just written


def cast(rng: np.random.Generator, style: MoodStyle, form: str, meter: Meter, shift: int) -> Ensemble:
    """Draw an ensemble.

    Every part is used at most once, save for the keys, which can accompany their own melody.

    Args:
        rng: source of chance.
        style: of the mood.
        form: name of the form; layered forms spread the entries evenly.
        meter: for the unit of figures.
        shift: semitones that the middle and high parts move.
    """
    used: set[Part] = set()
    singing = {part: weight for part, weight in style.singers.items() if part is not Part.PAD or happens(rng, 0.5)}
    lead_part = weighed(rng, singing)
    if lead_part is not Part.KEYS:
        used.add(lead_part)
    players: list[Player] = []
    figures = 0
    for role in style.roles:
        options = {option: weight for option, weight in role.options.items() if option[1] not in used}
        if not options or not happens(rng, role.probability):
            continue
        name, part = weighed(rng, options)
        used.add(part)
        lift = 0
        if name in _FIGURES:  # a second figure goes to another octave than the first
            lift = 12 if figures and PART_RANGES[part][1] + shift < 84 else 0
            figures += 1
        enters = max(0.0, role.enters + between(rng, -0.1, 0.1))
        rests = between(rng, 0.05, 0.3) if name in _FIGURES else 0.0
        players.append(Player(_texture(rng, name, part, meter, style, shift + lift), part, enters, rests=rests))
    if form in _LAYERED_FORMS:
        for rank, player in enumerate(shuffled(rng, players)):
            player.enters = max(0.6 * player.enters, rank / len(players) * 0.9)  # drums still come late
    if form == "passacaglia":
        _give_ground(rng, players)
    _let_somebody_hold(rng, players, shift)
    _colour_sections(rng, form, players)
    return _with_singers(rng, style, players, lead_part, used, shift)


def _give_ground(rng: np.random.Generator, players: list[Player]) -> None:
    """Let the bass state the ground of a passacaglia from the first bar."""
    basses = [player for player in players if isinstance(player.texture, Bass)]
    if not basses:
        low, high = PART_RANGES[Part.SUB]
        basses = [Player(Bass(rng, Part.SUB, low, high), Part.SUB, 0.0)]
        players += basses
    basses[0].enters = 0.0


def _let_somebody_hold(rng: np.random.Generator, players: list[Player], shift: int) -> None:
    """Make the first sustained texture play throughout, so that a piece never falls silent by accident."""
    holding = [player for player in players if isinstance(player.texture, _HOLDING)]
    if not holding:
        low, high = _range(Part.PAD, shift)
        holding = [Player(Pad(rng, Part.PAD, low, high), Part.PAD, 0.0)]
        players += holding
    min(holding, key=lambda player: player.enters).enters = 0.0


def _colour_sections(rng: np.random.Generator, form: str, players: list[Player]) -> None:
    """Keep some players for the contrasting sections, or out of them: a new section brings a new colour."""
    if form in _LAYERED_FORMS or form == "passacaglia":
        return
    for player in players:
        if player.enters > 0.05 and happens(rng, 0.35):
            grounds = isinstance(player.texture, (Bass, Drone, Pulse))  # a climax never loses its ground
            player.labels = "BC" if grounds else pick(rng, ("BC", "A", "AB", "AC"))


def _with_singers(
    rng: np.random.Generator, style: MoodStyle, players: list[Player], lead_part: Part, used: set[Part], shift: int
) -> Ensemble:
    free = {part: weight for part, weight in style.singers.items() if part not in used and part is not lead_part}
    answerer = None
    if free and happens(rng, style.answers):
        part = weighed(rng, free)
        answerer = _singer(rng, part, shift, 0.88)
        del free[part]
        used.add(part)
    melody = Melody(rng, _singer(rng, lead_part, shift, 1.0), answerer, between(rng, 0.1, 0.5))
    followers: list[Texture] = []
    if free and happens(rng, style.followers):
        part = weighed(rng, free)
        del free[part]
        followers.append(Follower(rng, melody, _singer(rng, part, shift, 0.8), between(rng, 0.35, 0.65)))
    if happens(rng, style.counterlines):
        spare = [part for part in (Part.STRINGS, Part.CHOIR, Part.LEAD) if part not in used and part is not lead_part]
        if spare:
            low, high = _range(spare[0], shift)
            singer = Singer(spare[0], low + 2, high - 3, 0.74)
            used.add(spare[0])
            players.append(Player(Counterline(rng, singer, 0.0), spare[0], between(rng, 0.4, 0.65)))
    leading_in = [part for part in _LEADING_IN if part not in used and part is not lead_part]
    if leading_in and happens(rng, style.transitions):
        part = pick(rng, leading_in)
        followers.append(Transition(rng, part, *_range(part, shift)))
    return Ensemble(tuple(players), melody, tuple(followers))


def _range(part: Part, shift: int) -> tuple[int, int]:
    low, high = PART_RANGES[part]
    return (low, high) if part in FIXED_PARTS else (low + shift, min(100, high + shift))


def _singer(rng: np.random.Generator, part: Part, shift: int, loudness: float) -> Singer:
    low, high = SINGING_RANGES[part]
    return Singer(part, low + shift, min(98, high + shift), loudness * between(rng, 0.94, 1.04))


def _texture(rng: np.random.Generator, name: str, part: Part, meter: Meter, style: MoodStyle, shift: int) -> Texture:
    low, high = _range(part, shift)
    ticks = style.ticks
    if meter.tick_steps == 4:  # compound time divides every beat by three
        ticks = {4: 3.0, 8: 1.0, 12: 1.0}
    tick = weighed(rng, ticks)
    match name:
        case "drone":
            return Drone(rng, part, low, high)
        case "bass":
            return Bass(rng, part, low, high)
        case "pad":
            return Pad(rng, part, low, high)
        case "chorale":
            return Chorale(rng, part, low, high)
        case "shimmer":
            return Shimmer(rng, part, low + 6, high)
        case "arpeggio":
            return Arpeggio(rng, part, low, high, tick)
        case "ostinato":
            return Ostinato(rng, part, low, high - 5, tick)
        case "loops":
            return Loops(rng, part, low + 4, high, meter.bar_steps)
        case "bells":
            return Bells(rng, part, low, high)
        case "chords":
            return RolledChords(rng, part, low, high)
        case "stabs":
            return Stabs(rng, part, low, high, tick)
        case "heartbeat" | "drums":
            return Pulse(rng, part, low, high, driving=name == "drums")
    raise ValueError(f"no texture is called {name}")


def write_section(ensemble: Ensemble, stage: Stage) -> None:
    """Let everybody play whose tension has come."""
    for player in ensemble.players:
        if stage.label not in player.labels:
            continue
        below_climax = max(stage.tension(stage.start), stage.tension(stage.end - 1)) < 0.8
        if player.rests and below_climax and happens(stage.rng, player.rests):
            continue
        for window in _windows(stage, player.enters):
            player.texture.write(window)
    ensemble.melody.write(stage)
    for follower in ensemble.followers:
        follower.write(stage)


def _windows(stage: Stage, enters: float) -> list[Stage]:
    """The runs of chords of a section over which the tension is high enough."""
    runs: list[list[int]] = []
    for index, span in enumerate(stage.spans):
        if stage.tension((span.start + span.end) // 2) >= enters:
            if runs and runs[-1][-1] == index - 1:
                runs[-1].append(index)
            else:
                runs.append([index])
    if len(runs) == 1 and len(runs[0]) == len(stage.spans):
        return [stage]
    return [stage.over(tuple(stage.spans[index] for index in run)) for run in runs]
