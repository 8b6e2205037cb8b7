"""Between frozen values and the columns of the database."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from bot.history.records import MessageRef, Origin, Record, Relation, Requester, Result, State
from data.keys import Key
from data.moods import Mood
from data.opening import Opening
from data.spaces import Space
from engine.types import TOP_P_MIN, ComposeRequest, Originality

# Where a piece was posted, or else asked for; :channels are the ids as a JSON list.
IN_CHANNELS = "coalesce(message_channel_id, channel_id) IN (SELECT value FROM json_each(:channels))"


def to_text(time: datetime) -> str:
    """A time as the database keeps it: UTC, ISO 8601, milliseconds; sorts as text."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds")


def to_time(text: str | None) -> datetime | None:
    """What `to_text` wrote."""
    return None if text is None else datetime.fromisoformat(text)


def request_columns(request: ComposeRequest) -> dict[str, Any]:
    """One column for each field of a request."""
    return {
        "id": request.id,
        "mood": request.mood,
        "length_notes": request.length_notes,
        "temperature": float(request.temperature),
        "top_p": float(request.top_p),
        "seed": request.seed,
        "tempo_bpm": request.tempo_bpm,
        "key": None if request.key is None else str(request.key),
        "space": request.space,
        "opening": None if request.opening is None else request.opening.text,
    }


def result_columns(result: Result) -> dict[str, Any]:
    """One column for each field of a result."""
    return {
        "checkpoint_id": result.checkpoint_id,
        "piece_key": str(result.key),
        "piece_tempo_bpm": float(result.tempo_bpm),
        "notes": result.notes,
        "duration_s": float(result.duration_s),
        "sampling_s": float(result.sampling_s),
        "rendering_s": float(result.rendering_s),
        "notes_sha256": result.notes_sha256,
        "midi_sha256": result.midi_sha256,
        "wav_sha256": result.wav_sha256,
        **({} if result.originality is None else asdict(result.originality)),
    }


def record_of(row: sqlite3.Row) -> Record:
    """The record of one row of `requests` joined with `results`."""
    result = None
    if row["checkpoint_id"] is not None:
        result = Result(
            checkpoint_id=row["checkpoint_id"],
            key=Key.parse(row["piece_key"]),
            tempo_bpm=row["piece_tempo_bpm"],
            notes=row["notes"],
            duration_s=row["duration_s"],
            sampling_s=row["sampling_s"],
            rendering_s=row["rendering_s"],
            notes_sha256=row["notes_sha256"],
            midi_sha256=row["midi_sha256"],
            wav_sha256=row["wav_sha256"],
            originality=_originality_of(row),
        )
    return Record(
        number=row["number"],
        request=ComposeRequest(
            id=row["id"],
            mood=Mood(row["mood"]),
            length_notes=row["length_notes"],
            temperature=row["temperature"],
            top_p=max(row["top_p"], TOP_P_MIN),  # it was as little as one liked, which gave the same notes
            seed=row["seed"],
            tempo_bpm=row["tempo_bpm"],
            key=None if row["key"] is None else Key.parse(row["key"]),
            space=None if row["space"] is None else Space(row["space"]),
            opening=None if row["opening"] is None else Opening(row["opening"]),
        ),
        requester=Requester(
            front_end=row["front_end"],
            user_id=row["user_id"],
            user_name=row["user_name"],
            guild_id=row["guild_id"],
            channel_id=row["channel_id"],
        ),
        state=State(row["state"]),
        created_at=datetime.fromisoformat(row["created_at"]),
        started_at=to_time(row["started_at"]),
        made_at=to_time(row["made_at"]),
        finished_at=to_time(row["finished_at"]),
        result=result,
        error=row["error"],
        private=bool(row["private"]),
        origin=Origin(row["parent_id"], Relation(row["relation"])) if row["parent_id"] else None,
        message=MessageRef(row["message_channel_id"], row["message_id"]) if row["message_id"] else None,
        attempts=row["attempts"],
    )


def _originality_of(row: sqlite3.Row) -> Originality | None:
    if row["copied_share"] is None:
        return None
    return Originality(**{field.name: row[field.name] for field in fields(Originality)})
