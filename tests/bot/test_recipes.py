import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.chat import Chat
from bot.recipes import read
from data.errors import InvalidMidi
from data.keys import Key
from data.midi import write_midi
from data.moods import Mood
from data.opening import Opening
from data.score import Note, Part, Score
from data.spaces import Space
from engine.render.tags import midi_texts
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, TERMINAL, House

RECIPE = {
    "program": "MusicLSTM",
    "checkpoint": "v1-1a2b3c4d",
    "mood": "epic",
    "length": 24,
    "temp": 0.8,
    "top_p": 0.9,
    "seed": 9,
    "tempo": 118,
    "key": "C#m",
    "space": "tape",
}
REQUEST = ComposeRequest(
    mood=Mood.EPIC,
    length_notes=24,
    temperature=0.8,
    top_p=0.9,
    seed=9,
    tempo_bpm=118,
    key=Key(1, "minor"),
    space=Space.TAPE,
)


def _file(recipe: str) -> bytes:
    score = Score((Note(0, Part.PAD, 60, 12, 80),), 60.0)
    return write_midi(score, title="From elsewhere", texts=midi_texts([recipe]))


def test_a_recipe_is_the_request_and_the_checkpoint() -> None:
    assert read((json.dumps(RECIPE),)) == (REQUEST, "v1-1a2b3c4d")


def test_an_opening_may_stand_in_several_lines() -> None:
    opening = Opening.of(np.array([[2, 0, 40, 10, 8]] + [[2, 6, 44, 12, 8]] * 15))
    whole = json.dumps(RECIPE | {"opening": opening.text})
    request, _ = read((whole[:90], whole[90:200], whole[200:]))
    assert request == dataclasses.replace(REQUEST, opening=opening)


@pytest.mark.parametrize(
    "change",
    [
        {"mood": "angry"},
        {"length": 10**9},
        {"length": "24"},
        {"temp": None},
        {"top_p": 1e-46},
        {"tempo": 118.5},
        {"tempo": [1]},
        {"key": "H"},
        {"space": {}},
        {"seed": -1},
        {"opening": "AAAA" * 9},
        {"opening": 7},
        {"program": "Other"},
        {"checkpoint": ...},
    ],
)
def test_a_recipe_that_asks_for_what_is_not_on_offer_is_no_recipe(change: dict[str, object]) -> None:
    says = {name: value for name, value in (RECIPE | change).items() if value is not ...}
    with pytest.raises(InvalidMidi, match="not made by this bot"):
        read((json.dumps(says),))


json_values = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=3)


@settings(max_examples=150)
@given(
    st.text()
    | st.fixed_dictionaries(
        {"program": st.just("MusicLSTM")}, optional=dict.fromkeys(set(RECIPE) - {"program"}, json_values)
    ).map(json.dumps)
)
def test_no_recipe_raises_anything_else(line: str) -> None:
    try:
        request, _ = read((line,))
    except InvalidMidi:
        return
    assert isinstance(request, ComposeRequest)


async def test_our_own_file_is_found_by_its_digest(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(length_notes=16), ADA)
    for path in (piece.midi, piece.wav):
        recognised = await house.studio.recognise(path.read_bytes(), BEN)
        assert recognised.record is not None
        assert (recognised.record.id, recognised.checkpoint_id) == (piece.record.id, "small-1")


async def test_a_posted_form_of_our_own_sound_is_found_by_its_recipe(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(length_notes=16, seed=4), ADA)
    hidden = await house.studio.compose(ComposeRequest(length_notes=16, seed=5), ADA, private=True)
    asked, result = piece.record.request, piece.record.result
    assert result is not None
    recipe = {
        "program": "MusicLSTM",
        "checkpoint": result.checkpoint_id,
        "mood": asked.mood,
        "length": 16,
        "temp": asked.temperature,
        "top_p": asked.top_p,
        "seed": 4,
        "tempo": int(result.tempo_bpm),
        "key": str(result.key),
        "space": asked.room,
    }
    known = await house.studio.recognise(_file(json.dumps(recipe)), BEN)
    assert known.record is not None
    assert (known.record.id, bool(known.recipe)) == (piece.record.id, True)
    for change in ({"checkpoint": "other-1"}, {"tempo": 111}, {"space": "tape"}, {"seed": 5}, {"temp": 1.0}):
        assert (await house.studio.recognise(_file(json.dumps(recipe | change)), BEN)).record is None
    author = await house.studio.recognise(_file(json.dumps(recipe | {"seed": 5})), ADA)
    assert author.record is not None
    assert author.record.id == hidden.record.id


async def test_a_private_piece_is_found_by_its_author_alone(house: House) -> None:
    piece = await house.studio.compose(ComposeRequest(length_notes=16), ADA, private=True)
    content = piece.midi.read_bytes()
    assert (await house.studio.recognise(content, ADA)).record is not None
    with pytest.raises(InvalidMidi):  # the small engine writes no recipe
        await house.studio.recognise(content, BEN)


async def test_a_file_from_elsewhere_is_known_by_its_recipe(house: House) -> None:
    recognised = await house.studio.recognise(_file(json.dumps(RECIPE)), ADA)
    assert (recognised.record, recognised.request, recognised.checkpoint_id) == (None, REQUEST, "v1-1a2b3c4d")


@pytest.mark.parametrize("content", [b"", b"MThd", b"RIFF\xff\xff\xff\xffWAVE", b"OggS" * 100, b"fLaC", b"hello"])
async def test_any_other_file_is_told_in_one_sentence(content: bytes, house: House) -> None:
    with pytest.raises(InvalidMidi, match=r"not made by this bot.*\.$"):
        await house.studio.recognise(content, ADA)


async def test_the_console_shows_a_file(house: House, tmp_path: Path) -> None:
    chat = Chat(house.studio, TERMINAL, tmp_path / "out")
    await chat.answer("/compose length:16")
    (midi,) = (tmp_path / "out").glob("*.mid")
    assert "every note and every sample is the same" in await chat.answer(f"/show '{midi}'")
    foreign = tmp_path / "foreign.mid"
    foreign.write_bytes(_file(json.dumps(RECIPE)))
    said = await chat.answer(f"/show {foreign}")
    assert "written by checkpoint v1-1a2b3c4d" in said
    assert "(epic, " in said
