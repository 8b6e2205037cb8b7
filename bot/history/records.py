"""What history remembers: frozen values, UTC times, no database and no Discord objects."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from data.keys import Key
from engine.types import ComposeRequest, Originality

FrontEnd = Literal["discord", "console", "cli"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requester:
    """Who asked, and where.

    Attributes:
        front_end: where the conversation takes place.
        user_id: Discord's user id, or the account name in a terminal.
        user_name: for people to read; never used to recognise anybody.
        guild_id: the Discord server, or None in direct messages and in a terminal.
        channel_id: the Discord channel, or None in a terminal.
    """

    front_end: FrontEnd
    user_id: str
    user_name: str
    guild_id: str | None = None
    channel_id: str | None = None

    @property
    def person(self) -> str:
        """The same person across front ends and servers: `discord:123`, or `local:ada` for console and command line."""
        return f"{'discord' if self.front_end == 'discord' else 'local'}:{self.user_id}"


class State(StrEnum):
    """Where a request is. Only QUEUED and RUNNING change; the other three are final."""

    QUEUED = "queued"
    RUNNING = "running"  # being made, or made and not yet accepted by the one who asked (`Record.result` tells)
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing happens to this request any more."""
        return self not in {State.QUEUED, State.RUNNING}


class Relation(StrEnum):
    """How a piece came out of another one."""

    AGAIN = "again"  # the same wish with another seed
    VARIED = "varied"  # the same opening, another continuation
    CONTINUED = "continued"
    LONGER = "longer"
    MOOD = "mood"  # the same wish in another mood


@dataclass(frozen=True, slots=True)
class Origin:
    """The piece that this one came out of."""

    parent_id: str
    relation: Relation


@dataclass(frozen=True, slots=True)
class MessageRef:
    """A Discord message: where a piece is announced, and finally posted."""

    channel_id: str
    message_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The measured facts of a finished piece.

    Attributes:
        checkpoint_id: the model that wrote it.
        key: asked for or drawn.
        tempo_bpm: asked for or drawn, quarter notes a minute.
        notes: how many.
        duration_s: length of the sound, its tail included.
        sampling_s, rendering_s: seconds spent on notes and on sound.
        notes_sha256: digest of the notes alone (`bot.pieces.notes_digest`), independent of file formats.
        midi_sha256, wav_sha256: digests of the files.
        originality: what it shares with the music that the model learnt from, or None where nobody compared them.
    """

    checkpoint_id: str
    key: Key
    tempo_bpm: float
    notes: int
    duration_s: float
    sampling_s: float
    rendering_s: float
    notes_sha256: str
    midi_sha256: str
    wav_sha256: str
    originality: Originality | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One request and everything that became of it.

    Attributes:
        number: the order of asking.
        request: what was asked; `request.id` names the piece everywhere.
        requester: who and where.
        state: where it is.
        created_at: when it was asked (UTC, as are all times here).
        started_at: when the engine took it, or None.
        made_at: when its files were complete, or None.
        finished_at: when it reached a final state, or None.
        result: facts of the finished piece, or None.
        error: the sentence that the person was told when it failed, else "".
        private: shown to its requester only.
        origin: the piece that it came out of, or None.
        message: the message that announces and finally carries it, or None.
        attempts: how often the program died while this piece was being made.
    """

    number: int
    request: ComposeRequest
    requester: Requester
    state: State
    created_at: datetime
    started_at: datetime | None = None
    made_at: datetime | None = None
    finished_at: datetime | None = None
    result: Result | None = None
    error: str = ""
    private: bool = False
    origin: Origin | None = None
    message: MessageRef | None = None
    attempts: int = 0

    @property
    def id(self) -> str:
        """The piece's id."""
        return self.request.id
