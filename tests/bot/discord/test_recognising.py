"""/show with a file: a piece of ours, a piece of another bot, somebody else's music, and what only claims to be one."""

import io
import json
from typing import Any

import numpy as np
import pytest
import soundfile

from bot.discord import limits
from bot.grammar import format_request
from data.midi import MAX_BYTES, write_midi
from data.opening import Opening
from data.score import Note, Part, Score
from engine.render.tags import Tags, midi_texts, set_comments, wav_chunks
from tests.bot.test_recipes import RECIPE, REQUEST

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]

NOTES = Score((Note(0, Part.PAD, 60, 12, 80),), 60.0)


def midi_of(recipe: dict[str, Any]) -> bytes:
    return write_midi(NOTES, title="From elsewhere", texts=midi_texts([json.dumps(recipe)]))


def sound_of(recipe: dict[str, Any], kind: str) -> bytes:
    """A tenth of a second of silence that says its recipe as the renderer says it."""
    tags, silence = Tags("From elsewhere", (json.dumps(recipe),)), np.zeros((4_410, 2), np.float32)
    file = io.BytesIO()
    if kind == "WAV":
        soundfile.write(file, silence, 44_100, "PCM_16", format="WAV")
        body = file.getvalue()[8:] + wav_chunks(tags, 44_100)
        return b"RIFF" + len(body).to_bytes(4, "little") + body
    with soundfile.SoundFile(file, "w", 44_100, 2, "VORBIS" if kind == "OGG" else "PCM_16", format=kind) as sound:
        set_comments(sound, tags)
        sound.write(silence)
    return file.getvalue()


@pytest.mark.parametrize("ending", [".mid", ".wav"])
async def test_a_file_of_ours_is_its_piece_and_is_made_again_by_the_button(channel, ada, ben, ending: str) -> None:
    await ada.slash(channel, "compose", length=20, seed=4)
    piece = channel.last_message
    (file,) = (each for each in piece.attachments if each.filename.endswith(ending))

    shown = await ben.slash(channel, "show", file=(file.filename, await file.read()))

    assert shown.ephemeral
    name = piece.embeds[0].footer.text.split(" ")[0]
    assert f"`{name}`" in shown.response.embeds[0].description
    assert "/compose mood:dark length:20" in str(shown.response.embeds[0].to_dict())
    assert channel.last_message.id == piece.id
    await ben.click(shown.response, label="Make it again")
    assert "bit for bit" in channel.last_message.embeds[0].description
    assert channel.last_message.embeds[0].footer.text.startswith(name)


async def test_a_form_of_our_sound_that_is_posted_is_its_piece_by_the_recipe(house, channel, ada, ben) -> None:
    await ada.slash(channel, "compose", length=24, seed=9, mood="epic", temp=0.8, tempo=118, key="C#m", space="tape")
    record = await house.only_record()
    recipe = RECIPE | {"checkpoint": record.result.checkpoint_id, "top_p": record.request.top_p}

    shown = await ben.slash(channel, "show", file=("piece.ogg", sound_of(recipe, "OGG")))

    assert shown.response.embeds[0].description == f"By the recipe that it carries, this file is piece `{record.id}`."
    await ben.click(shown.response, label="Make it again")
    assert "bit for bit" in channel.last_message.embeds[0].description


@pytest.mark.parametrize("kind", ["MIDI", "WAV", "FLAC", "OGG"])
async def test_the_recipe_of_another_bots_file_is_shown_and_made(house, channel, ada, kind: str) -> None:
    content = midi_of(RECIPE) if kind == "MIDI" else sound_of(RECIPE, kind)

    shown = await ada.slash(channel, "show", file=(f"piece.{kind[: 3 if kind == 'MIDI' else 4].lower()}", content))

    assert shown.ephemeral
    text = str(shown.response.embeds[0].to_dict())
    assert format_request(REQUEST) in text
    assert "v1-1a2b3c4d" in text
    assert house.engine.made == 0
    await ada.click(shown.response, label="Make it again")
    (record,) = await house.records()
    assert (record.request.mood, record.request.seed, record.request.top_p) == (REQUEST.mood, 9, 0.9)
    assert len(channel.last_message.attachments) == 3


async def test_a_recipe_with_an_opening_is_made_after_a_restart(simcord_env, house, closing, channel, ada) -> None:
    opening = Opening.of(np.array([[2, 0, 40, 10, 8]] + [[2, 6, 44, 12, 8]] * 15))
    file = midi_of(RECIPE | {"opening": opening.text})
    shown = await ada.slash(channel, "show", file=("piece.midi", file))
    assert "first 16 notes were given" in str(shown.response.embeds[0].to_dict())
    await simcord_env.bot.close()
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    await ada.click(shown.response, label="Make it again")

    (record,) = await house.records()
    assert record.request.opening == opening


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("tune.mid", write_midi(NOTES, title="Mine"), "not made by this bot"),
        ("tune.mid", b"", "not made by this bot"),
        ("tune.wav", b"RIFF\xff\xff\xff\xffWAVE", "not made by this bot"),
        ("tune.flac", b"fLaC", "not made by this bot"),
        ("tune.ogg", b"OggS" * 100, "not made by this bot"),
        ("tune.mid", midi_of(RECIPE | {"length": 10**9}), "not made by this bot"),
        ("tune.mp3", b"ID3", "MIDI, WAV, FLAC or OGG"),
        ("tune.mid", b"MThd" + bytes(MAX_BYTES), "larger than 2 MiB"),
    ],
    ids=["midi", "empty", "wav", "flac", "ogg", "impossible", "mp3", "too large"],
)
async def test_any_other_file_is_told_in_one_sentence(
    fetched, channel, ada, name: str, content: bytes, says: str
) -> None:
    result = await ada.slash(channel, "show", file=(name, content))

    assert result.ephemeral
    assert says in result.response.content
    assert not result.response.embeds
    assert channel.last_message is None
    assert bool(fetched) == ("not made" in says)  # name and size are looked at before anything is fetched


async def test_a_sound_that_is_too_large_is_not_fetched(monkeypatch, fetched, channel, ada) -> None:
    monkeypatch.setattr(limits, "REQUEST_BYTES_MAX", 2**20)

    result = await ada.slash(channel, "show", file=("tune.wav", bytes(2**20 + 1)))

    assert "larger than 1 MiB" in result.response.content
    assert fetched == []


async def test_somebody_elses_private_piece_is_not_recognised(channel, ada, ben) -> None:
    private = await ada.slash(channel, "compose", length=16, private=True)
    midi = private.response.attachments[0]

    refused = await ben.slash(channel, "show", file=("piece.mid", await midi.read()))

    assert "not made by this bot" in refused.response.content  # the small engine writes no recipe


@pytest.mark.parametrize("both", [False, True])
async def test_show_wants_an_id_or_a_file(house, channel, ada, both: bool) -> None:
    options = {"id": "abcdefgh", "file": ("tune.mid", midi_of(RECIPE))} if both else {}

    result = await ada.slash(channel, "show", **options)

    assert result.ephemeral
    assert "one of the two" in result.response.content
    assert await house.records() == []


async def test_a_file_names_no_private_piece_of_somebody_else_that_it_came_out_of(channel, ada, ben) -> None:
    private = await ada.slash(channel, "compose", length=16, private=True)
    (midi,) = (file for file in private.response.attachments if file.filename.endswith(".mid"))
    await ada.slash(channel, "continue", midi=(midi.filename, await midi.read()), length=16)
    (continued,) = (file for file in channel.last_message.attachments if file.filename.endswith(".mid"))

    result = await ben.slash(channel, "show", file=("found.mid", await continued.read()))

    assert "Came out of" not in {field.name for field in result.response.embeds[0].fields}
