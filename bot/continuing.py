"""Pieces that come out of others: what a continuation or a variation of one asks for, and a continuation of a file.

A continuation begins with the whole piece, or with its end where that would be too long, in its key and at its tempo. A
variation has the beginning of a piece and its length, and goes another way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bot.grammar import build_request
from bot.history import Origin, Record, Relation, Requester
from bot.options import OPTIONS
from bot.recipes import find_file
from data.keys import Key, estimate_key
from data.midi import read_midi
from data.mood_estimate import estimate_mood
from data.moods import Mood
from data.opening import first_notes, last_notes
from data.phrases import Phrase
from data.score import Score
from engine.errors import InvalidRequest
from engine.types import (
    LENGTH_NOTES_DEFAULT,
    LENGTH_NOTES_MAX,
    LENGTH_NOTES_MIN,
    TEMPO_MAX_BPM,
    TEMPO_MIN_BPM,
    ComposeRequest,
    new_id,
    new_seed,
)

if TYPE_CHECKING:
    from bot.studio import Studio

ADDED_NOTES_MAX = LENGTH_NOTES_MAX // 2  # so that at least as many are left for what is continued
_VARIED_SHARE = 4  # a variation keeps a quarter: enough to know the piece by, and little enough to hear another one
_VARIED_NOTES_MIN = 8


@dataclass(frozen=True, slots=True)
class Wish:
    """What to compose, where it comes from, and whether only the one who asks is to see it."""

    request: ComposeRequest
    origin: Origin | None = None
    private: bool = False


async def continuation(studio: Studio, piece_id: str, viewer: Requester, given: Mapping[str, Any]) -> Wish:
    """What goes on from the end of a piece.

    Args:
        studio: open.
        piece_id: as typed.
        viewer: who asks.
        given: option name -> value: `length` is how many notes are added, the others are as the piece's where left out.

    Raises:
        NotFound: no such piece.
        InvalidRequest: a value is not on offer, or the piece was never finished.
        and as `Studio.midi`.
    """
    added = _added(given)
    record = await studio.find(piece_id, viewer)
    score, key = await _notes(studio, record, viewer)
    opening = await asyncio.to_thread(last_notes, score, key, LENGTH_NOTES_MAX - added)
    values = {option.name: getattr(record.request, option.field) for option in OPTIONS}
    values |= {"key": key, "tempo": round(score.tempo_bpm), "seed": new_seed()}
    values |= {**given, "length": len(opening) + added}
    request = replace(build_request(values), top_p=record.request.top_p, opening=opening)
    return Wish(request, Origin(record.id, Relation.CONTINUED), record.private)


async def variation(studio: Studio, piece_id: str, viewer: Requester) -> Wish:
    """What begins as a piece does and goes another way; arguments and errors as `continuation`."""
    record = await studio.find(piece_id, viewer)
    score, key = await _notes(studio, record, viewer)
    count = max(_VARIED_NOTES_MIN, len(score.notes) // _VARIED_SHARE)
    opening = await asyncio.to_thread(first_notes, score, key, count)
    request = replace(
        record.request, key=key, tempo_bpm=round(score.tempo_bpm), opening=opening, seed=new_seed(), id=new_id()
    )
    return Wish(request, Origin(record.id, Relation.VARIED), record.private)


async def continuation_of_file(studio: Studio, content: bytes, viewer: Requester, given: Mapping[str, Any]) -> Wish:
    """What goes on from the end of a MIDI file, anybody's or one of ours.

    Of a file from elsewhere, key and mood are estimated, and the tempo is the nearest that a request may ask for.

    Args:
        studio: open.
        content: the whole file.
        viewer: who asks.
        given: as for `continuation`; what is left out is as in the server's defaults.

    Raises:
        InvalidMidi: it is no MIDI file, or over a limit.
        InvalidRequest: a value is not on offer.
        and as `continuation`.
    """
    added = _added(given)
    known = await find_file(studio.history, content, viewer)
    if known is not None:
        return await continuation(studio, known.id, viewer, given)
    score, key, mood = await asyncio.to_thread(_heard, content)
    opening = await asyncio.to_thread(last_notes, score, key, LENGTH_NOTES_MAX - added)
    tempo_bpm = min(max(round(score.tempo_bpm), TEMPO_MIN_BPM), TEMPO_MAX_BPM)
    values = {"mood": mood, "key": key, "tempo": tempo_bpm, **given, "length": len(opening) + added}
    return Wish(replace(await studio.request_for(viewer, values), opening=opening))


def _added(given: Mapping[str, Any]) -> int:
    added = given.get("length")
    if added is None:
        return LENGTH_NOTES_DEFAULT
    if isinstance(added, bool) or not isinstance(added, int) or not LENGTH_NOTES_MIN <= added <= ADDED_NOTES_MAX:
        sentence = "A continuation adds {low} to {high} notes: length is a whole number of those."
        raise InvalidRequest("length", sentence, low=LENGTH_NOTES_MIN, high=ADDED_NOTES_MAX)
    return added


async def _notes(studio: Studio, record: Record, viewer: Requester) -> tuple[Score, Key]:
    """Notes and key of a finished piece."""
    if record.result is None:
        sentence = "Piece {id} was never finished ({state}), so there is nothing to go on from."
        raise InvalidRequest("id", sentence, id=record.id, state=Phrase(record.state))
    content = await studio.midi(record, viewer)
    return (await asyncio.to_thread(read_midi, content)).score, record.result.key


def _heard(content: bytes) -> tuple[Score, Key, Mood]:
    """The end of a file's music, as much as can count, with key and mood estimated. Blocks."""
    whole = read_midi(content).score
    score = Score(whole.notes[-LENGTH_NOTES_MAX:], whole.tempo_bpm)
    key, _ = estimate_key(score.notes)
    return score, key, estimate_mood(score).mood
