"""What of a piece is posted, and in which format, so that Discord takes it; and files that people upload."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import discord

from bot import wording
from bot.discord import embeds, limits
from bot.discord.persist import persist
from bot.discord.texts import say
from bot.pieces import Piece
from data.errors import InvalidMidi
from data.midi import MAX_BYTES
from engine.errors import RenderFailed
from engine.render.formats import Attachment, fit
from engine.titles import title

log = logging.getLogger(__name__)

_MIDI_ENDINGS = (".mid", ".midi")
_SOUND_ENDINGS = (".wav", ".flac", ".ogg")
_LARGE_BYTES = 4 * 1024 * 1024  # of a WAV, 24 s: more than a telephone likes to fetch
_FORM_BYTES = 64 * 1024  # of a multipart request beside its files: the message itself and the part headers


def midi_file(message: discord.Message) -> discord.Attachment | None:
    """The first MIDI file of a message, by its name."""
    return next((each for each in message.attachments if each.filename.casefold().endswith(_MIDI_ENDINGS)), None)


async def read_midi_file(attachment: discord.Attachment, locale: discord.Locale | None) -> bytes:
    """Fetch what somebody uploaded, if it is not too large to be read.

    Raises:
        InvalidMidi: it is; nothing was fetched.
        discord.HTTPException: it is gone, or Discord does not give it.
    """
    if attachment.size > MAX_BYTES:
        mib = MAX_BYTES // 2**20
        raise InvalidMidi(say(locale, "This MIDI file is larger than {n} MiB: send a shorter piece.", n=mib))
    return await persist(attachment.read)


async def read_own_file(attachment: discord.Attachment, locale: discord.Locale | None) -> bytes:
    """Fetch a file that may be one of ours, if its name and size say that it can be. Raises as `read_midi_file`."""
    name = attachment.filename.casefold()
    if name.endswith(_MIDI_ENDINGS):
        return await read_midi_file(attachment, locale)
    if not name.endswith(_SOUND_ENDINGS):
        raise InvalidMidi(say(locale, "I know my own files by their recipe: send a MIDI, WAV, FLAC or OGG file."))
    if attachment.size > limits.REQUEST_BYTES_MAX:
        mib = limits.REQUEST_BYTES_MAX // 2**20
        raise InvalidMidi(say(locale, "This file is larger than {n} MiB: send the MIDI file of the piece.", n=mib))
    return await persist(attachment.read)


def sound_bytes_max(piece: Piece, file_bytes_max: float) -> int:
    """What the sound may weigh beside the other files in one request, where one file may weigh `file_bytes_max`."""
    alone = min(file_bytes_max, _request_bytes_max(file_bytes_max) - _others_bytes(piece))
    copy = piece.ogg.stat().st_size if piece.ogg.exists() else 0
    # Beside the OGG, where that is still the lighter one; else no copy of it is posted.
    beside = min(alone, _request_bytes_max(file_bytes_max) - _others_bytes(piece) - copy)
    return int(beside if copy < beside else alone)


def _request_bytes_max(file_bytes_max: float) -> float:
    # Where Discord allows a file larger than its usual request, it allows the request that carries it.
    return max(limits.REQUEST_BYTES_MAX, file_bytes_max)


def _others_bytes(piece: Piece) -> int:
    """What is posted beside the sound, its light copy aside."""
    return piece.midi.stat().st_size + piece.png.stat().st_size + _FORM_BYTES


def choose_sound(piece: Piece, bytes_max: int) -> Attachment | None:
    """The best format of at most `bytes_max` bytes, or None when none fits. Blocks: run it in a thread."""
    try:
        recipe = [embeds.repeat_text(piece.record)]
        return fit(piece.wav, bytes_max, title=title(piece.record.request), recipe=recipe, ogg=piece.ogg)
    except RenderFailed as error:
        log.info("%s: %s", piece.record.id, error)
        return None


def sound_note(sound: Attachment | None, locale: discord.Locale | None) -> str:
    """The sentence that explains any format but the full WAV; "" for that."""
    if sound is None:
        return say(locale, "The sound is too large for this place in any format; the MIDI file has every note.")
    if sound.kind == "wav":
        return ""
    formats = {"wav32": "WAV (32 kHz)", "flac": "FLAC", "ogg": "OGG Vorbis", "ogg-low": "OGG Vorbis"}
    return say(
        locale,
        "The full WAV is larger than this place allows, so the sound comes as {format}.",
        format=formats[sound.kind],
    )


def light_copy(piece: Piece, sound: Attachment | None, file_bytes_max: float) -> Path | None:
    """The OGG that is posted beside a large sound in another format, for players that do not take that."""
    if sound is None or sound.kind.startswith("ogg") or not piece.ogg.exists():
        return None
    size, copy_size = sound.size_bytes, piece.ogg.stat().st_size
    if piece.wav.stat().st_size <= _LARGE_BYTES or copy_size >= size:
        return None
    return piece.ogg if size + copy_size + _others_bytes(piece) <= _request_bytes_max(file_bytes_max) else None


def files(
    piece: Piece, sound: Attachment | None, locale: discord.Locale | None, file_bytes_max: float
) -> list[discord.File]:
    """The attachments, opened anew: discord.py closes files once it has sent them."""
    stem = wording.stem(piece.record.request)
    listed = [discord.File(piece.midi, f"{stem}.mid")]
    if sound is not None:
        content = io.BytesIO(sound.content) if isinstance(sound.content, bytes) else sound.content
        listed.append(discord.File(content, stem + sound.suffix))
        if light := light_copy(piece, sound, file_bytes_max):
            listed.append(discord.File(light, f"{stem}.ogg"))
    description = embeds.roll_description(piece.record, locale)[: limits.ATTACHMENT_DESCRIPTION_CHARACTERS_MAX]
    listed.append(discord.File(piece.png, f"{stem}.png", description=description))
    return listed
