"""Recognising a file that this program made: which request and which checkpoint it came from.

The file may come from anybody, so nothing in it is trusted: its recipe is read within bounds (`engine.render.tags`) and
becomes a request only through the constructor that judges every request.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bot.history import History, Record, Requester
from bot.options import echo
from data.errors import InvalidKey, InvalidMidi
from data.keys import Key
from data.moods import Mood
from data.opening import Opening
from data.spaces import Space
from engine.errors import InvalidRequest
from engine.types import ComposeRequest

RECIPE_BYTES_MAX = 1 << 18  # as much as a header of a sound file may have; the longest opening takes a sixth of it


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a file turned out to be.

    Attributes:
        record: the piece itself, where this bot made it and remembers it; else None.
        request: makes it again.
        checkpoint_id: the model that wrote it.
        recipe: what the file says, one line of JSON that `read` takes; "" where it is a piece's own, bit for bit.
    """

    record: Record | None
    request: ComposeRequest
    checkpoint_id: str
    recipe: str = ""


async def recognise(history: History, content: bytes, viewer: Requester) -> Recognised:
    """Find out which piece a MIDI, WAV, FLAC or OGG file is.

    Args:
        history: open.
        content: the whole file.
        viewer: who asks; other people's private pieces are not found by their digest.

    Raises:
        InvalidMidi: it is not a file of ours.
    """
    record = await find_file(history, content, viewer)
    if record is not None and record.result is not None:
        return Recognised(record, record.request, record.result.checkpoint_id)
    from engine.render.tags import read_recipe  # noqa: PLC0415 - sound libraries, which only this needs

    recipe = await asyncio.to_thread(read_recipe, content) or ()
    request, checkpoint_id = read(recipe)
    record = await _find_recipe(history, request, checkpoint_id, viewer)
    return Recognised(record, request if record is None else record.request, checkpoint_id, "".join(recipe))


async def find_file(history: History, content: bytes, viewer: Requester) -> Record | None:
    """The piece whose MIDI or WAV file this is, bit for bit; other people's private pieces are not found."""
    digest = await asyncio.to_thread(lambda: hashlib.sha256(content).hexdigest())
    found = await history.records(
        "WHERE (midi_sha256 = :digest OR wav_sha256 = :digest) AND (private = 0 OR person = :person) "
        "ORDER BY number DESC LIMIT 1",
        {"digest": digest, "person": viewer.person},
    )
    return found[0] if found else None


async def _find_recipe(
    history: History, request: ComposeRequest, checkpoint_id: str, viewer: Requester
) -> Record | None:
    """The piece of that recipe: sound is posted in forms whose digests nobody keeps."""
    found = await history.records(
        "WHERE seed = :seed AND mood = :mood AND length_notes = :length AND temperature = :temperature "
        "AND top_p = :top_p AND opening IS :opening AND checkpoint_id = :checkpoint "
        "AND piece_key = :key AND piece_tempo_bpm = :tempo AND (private = 0 OR person = :person) "
        "ORDER BY number DESC",
        {
            "seed": request.seed,
            "mood": request.mood,
            "length": request.length_notes,
            "temperature": float(request.temperature),
            "top_p": float(request.top_p),
            "opening": None if request.opening is None else request.opening.text,
            "checkpoint": checkpoint_id,
            # What was drawn stands in the recipe, and of the piece in its result.
            "key": str(request.key),
            "tempo": request.tempo_bpm,
            "person": viewer.person,
        },
    )
    return next((record for record in found if record.request.room == request.room), None)


def read(recipe: tuple[str, ...]) -> tuple[ComposeRequest, str]:
    """The request and the checkpoint's id in the recipe of a file.

    Raises:
        InvalidMidi: it is no recipe of this program.
    """
    try:
        says = json.loads("".join(recipe))
        if isinstance(says, dict) and says.get("program") == "MusicLSTM":
            return _request(says), echo(str(says["checkpoint"]), 64)
    except (ValueError, KeyError, TypeError, RecursionError, InvalidKey, InvalidRequest):
        pass  # not ours, or damaged
    raise InvalidMidi("That file was not made by this bot, or its recipe was lost on the way.")


def _request(says: dict[str, Any]) -> ComposeRequest:
    tempo = says.get("tempo")
    return ComposeRequest(
        mood=Mood(says["mood"]),
        length_notes=says["length"],
        temperature=says["temp"],
        top_p=says["top_p"],
        seed=says["seed"],
        # What was drawn is written down as if it had been asked for, which gives the same notes.
        tempo_bpm=int(tempo) if isinstance(tempo, float) and tempo.is_integer() else tempo,
        key=None if says.get("key") is None else Key.parse(str(says["key"])[:16]),
        space=None if says.get("space") is None else Space(says["space"]),
        opening=None if says.get("opening") is None else Opening(str(says["opening"])),
    )


def read_file(path: Path, bytes_max: int) -> bytes:
    """A file's content.

    Raises:
        InvalidMidi: it cannot be read, or is larger than `bytes_max`.
    """
    try:
        if path.stat().st_size > bytes_max:
            raise InvalidMidi("{name} is larger than {n} MB.", name=path.name, n=bytes_max // 1_000_000)
        return path.read_bytes()
    except OSError as error:
        raise InvalidMidi("{name} cannot be read: {reason}.", name=path.name, reason=error.strerror) from error
