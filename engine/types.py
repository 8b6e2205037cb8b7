"""What travels to and from an engine: frozen values without tensors, file handles or Discord objects."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from data.keys import Key
from data.moods import MOODS, Mood
from data.opening import Opening
from data.phrases import Phrase
from data.score import Score
from data.spaces import DEFAULT_SPACES, SPACES, Space
from engine.errors import InvalidRequest

LENGTH_NOTES_MIN, LENGTH_NOTES_MAX, LENGTH_NOTES_DEFAULT = 16, 2000, 200
TEMPERATURE_MIN, TEMPERATURE_MAX, TEMPERATURE_DEFAULT = 0.1, 2.0, 0.9
TEMPO_MIN_BPM, TEMPO_MAX_BPM = 40, 200  # slower than a large slow pulse or faster than presto is rarely meant
DURATION_MAX_S = 3600.0  # of the notes: 635 MB of WAV; 2,000 of them at the slowest tempo can be longer
# Holtzman et al. 2020: the tail below the default is where samples go wrong. No attribute of a note has more than 88
# values, so that below 0.01, too, the likeliest alone would be left.
TOP_P_MIN, TOP_P_MAX, TOP_P_DEFAULT = 0.01, 1.0, 0.95
SEED_MAX = 2**32 - 1  # exact in JSON, in SQLite and in Discord's integer options (2**53)

_ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # nothing that is mistaken for something else when typed
_ID_LENGTH = 8  # 30**8 = 6.6e11: a collision is likely only after about 900,000 pieces, and the database refuses it
ID_PATTERN = rf"[{_ID_ALPHABET}]{{{_ID_LENGTH}}}"  # what `new_id` gives, as a regular expression


def new_id() -> str:
    """A fresh piece id: eight characters that are easy to type and need no escaping anywhere."""
    return "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))


def new_seed() -> int:
    """A fresh random seed, 0 to SEED_MAX."""
    return secrets.randbelow(SEED_MAX + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposeRequest:
    """One wish for one piece. This constructor is the only validator: whatever exists is valid.

    Two requests are equal when they ask for the same music; the id does not count.

    Attributes:
        mood: one of the eight moods.
        length_notes: exactly how many notes the piece has, LENGTH_NOTES_MIN to LENGTH_NOTES_MAX.
        temperature: softmax temperature, TEMPERATURE_MIN to TEMPERATURE_MAX.
        top_p: nucleus mass, TOP_P_MIN to TOP_P_MAX (Holtzman et al. 2020).
        seed: 0 to SEED_MAX; fresh when not given, so that a request always names its randomness.
        tempo_bpm: quarter notes a minute, or None: drawn from the mood's range with the seed.
        key: tonic and mode, or None: drawn for the mood with the seed.
        space: the room it sounds in, or None: the mood's own.
        opening: notes that the piece begins with, fewer than `length_notes`, or None: the model writes all of them.
            It is moved to the piece's key: say that, and the tempo, where the notes are to stay what they were.
        id: names the piece in files, history and buttons.

    Raises:
        InvalidRequest: a value is out of range; the sentence says what is allowed.
    """

    mood: Mood = Mood.DARK
    length_notes: int = LENGTH_NOTES_DEFAULT
    temperature: float = TEMPERATURE_DEFAULT
    top_p: float = TOP_P_DEFAULT
    seed: int = field(default_factory=new_seed)
    tempo_bpm: int | None = None
    key: Key | None = None
    space: Space | None = None
    opening: Opening | None = None
    id: str = field(default_factory=new_id, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.mood, Mood):
            raise InvalidRequest("mood", "mood is one of {moods}.", moods=", ".join(MOODS))
        _check_int("length", self.length_notes, LENGTH_NOTES_MIN, LENGTH_NOTES_MAX, Phrase("notes"))
        _check_float("temp", self.temperature, TEMPERATURE_MIN, TEMPERATURE_MAX)
        _check_float("top_p", self.top_p, TOP_P_MIN, TOP_P_MAX)
        for name in ("temperature", "top_p"):  # 1 is equal to 1.0, but is written otherwise in the recipe of a piece
            object.__setattr__(self, name, float(getattr(self, name)))
        _check_int("seed", self.seed, 0, SEED_MAX)
        if self.tempo_bpm is not None:
            _check_int("tempo", self.tempo_bpm, TEMPO_MIN_BPM, TEMPO_MAX_BPM, Phrase("beats a minute"))
        if self.key is not None and not isinstance(self.key, Key):
            raise InvalidRequest("key", "key is a letter A to G, # or b, and m for minor, as in Am or F#.")
        if self.space is not None and not isinstance(self.space, Space):
            raise InvalidRequest("space", "space is one of {spaces}.", spaces=", ".join(SPACES))
        if self.opening is not None:
            if not isinstance(self.opening, Opening):
                raise InvalidRequest("opening", "An opening is made of notes.")
            if len(self.opening) >= self.length_notes:
                sentence = "The piece begins with {n} notes, so its length has to be more than that."
                raise InvalidRequest("length", sentence, n=len(self.opening))
        if not (isinstance(self.id, str) and 1 <= len(self.id) <= 32 and set(self.id) <= set(_ID_ALPHABET)):
            raise InvalidRequest("id", "that is not the id of a piece.")

    @property
    def room(self) -> Space:
        """The space it sounds in: as asked for, else the mood's own."""
        return self.space or DEFAULT_SPACES[self.mood]


def _check_int(name: str, value: object, low: int, high: int, unit: Phrase | None = None) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        if unit:
            raise InvalidRequest(
                name, "{name} is a whole number from {low} to {high} {unit}.", name=name, low=low, high=high, unit=unit
            )
        raise InvalidRequest(name, "{name} is a whole number from {low} to {high}.", name=name, low=low, high=high)


def _check_float(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidRequest(name, "{name} is a number from {low} to {high}.", name=name, low=low, high=high)


class Stage(StrEnum):
    """What a piece is waiting for or going through, in this order."""

    QUEUED = "queued"
    SAMPLING = "sampling"
    RENDERING = "rendering"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece is.

    Attributes:
        stage: QUEUED, SAMPLING or RENDERING.
        done: QUEUED: pieces ahead of this one. SAMPLING: notes written. RENDERING: percent.
        total: QUEUED: the same as `done`. SAMPLING: notes asked for. RENDERING: 100.
    """

    stage: Stage
    done: int
    total: int


ProgressCallback = Callable[[Progress], None]  # called on the event loop's thread; must return at once


COPIED_RUN_LIMIT_NOTES = 12  # beyond this a stretch counts as copied, see docs/evaluation


@dataclass(frozen=True, slots=True)
class Originality:
    """What a piece shares with the music that its checkpoint was trained on; measured in `engine.originality`.

    Attributes:
        copied_share: of its distinct runs of eight intervals, the share found there, 0 to 1.
        longest_copied_run_notes: notes of the longest stretch that stands in one training piece; 0 for none.
        closest_title: the training piece that shares most runs, or None where none shares any.
        human_p95: what 95 of 100 human pieces stay within in `copied_share`, each beside the other authors' pieces.
    """

    copied_share: float
    longest_copied_run_notes: int
    closest_title: str | None
    human_p95: float

    @property
    def acceptable(self) -> bool:
        """Whether a human composer might share as much; if not, the engine serves another take."""
        return self.copied_share <= self.human_p95 and self.longest_copied_run_notes <= COPIED_RUN_LIMIT_NOTES

    @property
    def own_percent(self) -> int:
        """Of its distinct runs of eight intervals, how many of 100 are in no training piece; rounded down."""
        return int(100 * (1 - self.copied_share))

    @property
    def human_own_percent(self) -> int:
        """What 95 of 100 human pieces have at least."""
        return int(100 * (1 - self.human_p95))

    @property
    def rank(self) -> tuple[bool, int, float]:
        """Sorts the more original of several pieces first."""
        return not self.acceptable, max(self.longest_copied_run_notes, COPIED_RUN_LIMIT_NOTES), self.copied_share


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """A finished piece.

    Attributes:
        request: what was asked.
        title: two or three words, the same for the same request.
        score: the notes; `len(score.notes) == request.length_notes`.
        key: the key it is in, asked for or drawn.
        checkpoint_id: names the model, such as `v1-1a2b3c4d`: the same id, request and machine give the same notes.
        midi: a Standard MIDI File.
        wav: 44.1 kHz 16-bit stereo, in the folder that the engine was given; the caller owns it.
        roll_png: a piano-roll picture.
        ogg: the sound as OGG Vorbis, for players that a large WAV is too much for; empty if none is made.
        duration_s: length of the sound in seconds, its tail included.
        sampling_s: seconds spent writing notes.
        rendering_s: seconds spent making MIDI, sound and picture.
        originality: what it shares with the training music, or None where the checkpoint ships no index of that.
    """

    request: ComposeRequest
    title: str
    score: Score
    key: Key
    checkpoint_id: str
    midi: bytes
    wav: Path
    roll_png: bytes
    duration_s: float
    sampling_s: float
    rendering_s: float
    ogg: bytes = b""
    originality: Originality | None = None


class Engine(Protocol):
    """Turns requests into pieces. Every implementation passes `tests/engine/contract.py`."""

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        """Make one piece. Cancelling the awaiting task stops the work at the next note.

        Args:
            request: what to make.
            progress: called with each step of the way, or None.

        Raises:
            Busy: too many pieces are waiting.
            EngineClosed: `aclose` was called.
            RenderFailed: the sound could not be made.
            SetupProblem: something is not installed.
        """
        ...

    async def aclose(self) -> None:
        """Cancel what is running and free every resource. Safe to call twice."""
        ...
