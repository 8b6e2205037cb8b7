"""Pieces that come out of others: continued, varied, continued from a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from bot.chat import Chat
from bot.continuing import ADDED_NOTES_MAX, Wish, continuation, continuation_of_file, variation
from bot.errors import NotFound
from bot.history import Origin, Relation, State
from bot.pieces import Piece
from data.errors import InvalidMidi
from data.keys import Key
from data.midi import MAX_BYTES, read_midi, write_midi
from data.moods import Mood
from data.opening import Opening
from data.score import Note, Part, Score
from data.spaces import Space
from data.tokens import PITCH
from engine.errors import InvalidRequest
from engine.types import LENGTH_NOTES_DEFAULT, LENGTH_NOTES_MAX, ComposeRequest
from tests.bot.conftest import ADA, BEN, TERMINAL, House

REQUEST = ComposeRequest(
    mood=Mood.EPIC,
    length_notes=40,
    temperature=0.7,
    top_p=0.8,
    seed=3,
    key=Key(4, "minor"),
    tempo_bpm=88,
    space=Space.TAPE,
)


def notes(piece: Piece) -> tuple[Note, ...]:
    return read_midi(piece.midi.read_bytes()).score.notes


async def compose(house: House, wish: Wish) -> Piece:
    return await house.studio.compose(wish.request, ADA, private=wish.private, origin=wish.origin)


async def test_a_continuation_has_the_whole_piece_and_as_many_notes_more(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    wish = await continuation(house.studio, f" {parent.record.id.upper()} ", BEN, {"length": 24})
    piece = await compose(house, wish)
    assert notes(piece)[:40] == notes(parent)
    assert len(notes(piece)) == 64
    assert piece.record.origin == Origin(parent.record.id, Relation.CONTINUED)
    request = wish.request
    assert request.seed != REQUEST.seed
    assert request == dataclasses.replace(
        REQUEST, length_notes=64, seed=request.seed, opening=request.opening, tempo_bpm=88
    )


async def test_what_was_drawn_for_a_piece_stays_in_its_continuation(house: House) -> None:
    parent = await house.studio.compose(ComposeRequest(length_notes=16), ADA)
    wish = await continuation(house.studio, parent.record.id, ADA, {})
    assert wish.request.length_notes == 16 + LENGTH_NOTES_DEFAULT
    assert parent.record.result is not None
    assert wish.request.key == parent.record.result.key
    assert wish.request.tempo_bpm == parent.record.result.tempo_bpm


async def test_a_continuation_may_be_asked_to_change(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    given = {"mood": "dark", "temp": 1.2, "key": "Am", "tempo": 100, "seed": 9, "length": 16}
    request = (await continuation(house.studio, parent.record.id, ADA, given)).request
    assert (request.mood, request.temperature, request.tempo_bpm, request.seed) == (Mood.DARK, 1.2, 100, 9)
    piece = await compose(house, Wish(request))
    moved = [(note.start_step, note.pitch) for note in notes(piece)[:40]]
    assert moved == [(note.start_step, note.pitch - 7) for note in notes(parent)]  # from E down to A


async def test_of_a_piece_that_is_too_long_the_end_is_continued(house: House) -> None:
    parent = await house.studio.compose(dataclasses.replace(REQUEST, length_notes=LENGTH_NOTES_MAX), ADA)
    request = (await continuation(house.studio, parent.record.id, ADA, {"length": 200})).request
    assert request.opening is not None
    kept = len(request.opening)
    assert LENGTH_NOTES_MAX - 200 - 8 < kept <= LENGTH_NOTES_MAX - 200  # eight of its notes are a bar
    assert request.length_notes == kept + 200
    piece = await compose(house, Wish(request))
    assert [note.pitch for note in notes(piece)[:kept]] == [note.pitch for note in notes(parent)[-kept:]]
    assert notes(parent)[-kept].start_step % 48 == 0


async def test_a_variation_begins_alike_and_is_as_long(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    wish = await variation(house.studio, parent.record.id, BEN)
    piece = await compose(house, wish)
    assert notes(piece)[:10] == notes(parent)[:10]
    assert notes(piece)[10:] != notes(parent)[10:]
    assert len(notes(piece)) == 40
    assert piece.record.origin == Origin(parent.record.id, Relation.VARIED)
    short = await house.studio.compose(dataclasses.replace(REQUEST, length_notes=16, id="shrt2345"), ADA)
    assert len((await variation(house.studio, short.record.id, ADA)).request.opening or ()) == 8


async def test_a_continued_piece_can_be_continued_varied_and_made_again(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    middle = await compose(house, await continuation(house.studio, parent.record.id, ADA, {"length": 16}))
    last = await compose(house, await continuation(house.studio, middle.record.id, ADA, {"length": 16}))
    assert notes(last)[:56] == notes(middle)
    varied = await compose(house, await variation(house.studio, last.record.id, ADA))
    assert notes(varied)[:18] == notes(parent)[:18]
    lineage = await house.studio.library.lineage(varied.record)
    assert [record.id for record in lineage] == [parent.record.id, middle.record.id, last.record.id]
    remade = await house.studio.remake(last.record.id, ADA)
    assert (remade.same_notes, remade.same_sound) == (True, True)


async def test_of_a_private_piece_others_know_nothing_and_what_comes_out_of_it_is_private(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA, private=True)
    for ask in (continuation(house.studio, parent.record.id, BEN, {}), variation(house.studio, parent.record.id, BEN)):
        with pytest.raises(NotFound):
            await ask
    assert (await continuation(house.studio, parent.record.id, ADA, {})).private
    assert (await variation(house.studio, parent.record.id, ADA)).private


@pytest.mark.parametrize("length", [15, ADDED_NOTES_MAX + 1, True, 20.5])
async def test_no_more_notes_are_added_than_leave_room_for_the_piece(house: House, length: Any) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    with pytest.raises(InvalidRequest, match=f"16 to {ADDED_NOTES_MAX}") as caught:
        await continuation(house.studio, parent.record.id, ADA, {"length": length})
    assert caught.value.field == "length"


async def test_what_was_never_finished_cannot_be_continued(house: House) -> None:
    record = await house.history.add(REQUEST, ADA)
    await house.history.finish(record.id, State.CANCELLED)
    for ask in (continuation(house.studio, record.id, ADA, {}), variation(house.studio, record.id, ADA)):
        with pytest.raises(InvalidRequest, match="never finished"):
            await ask


async def test_a_lost_file_is_made_again_before_it_is_continued(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    before = notes(parent)
    parent.midi.unlink()
    piece = await compose(house, await continuation(house.studio, parent.record.id, ADA, {}))
    assert notes(piece)[:40] == before


async def test_when_another_model_is_in_use_a_lost_file_is_told(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    parent.midi.write_bytes(write_midi(Score((Note(0, Part.PAD, 60, 6, 68),), 60), title="Something else"))
    house.engine.checkpoint_id = "small-2"
    with pytest.raises(InvalidRequest, match="are lost"):
        await continuation(house.studio, parent.record.id, ADA, {})


async def test_a_piece_goes_on_where_its_parent_was_deleted_and_the_process_died(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    before = notes(parent)
    wish = await continuation(house.studio, parent.record.id, BEN, {"length": 16})
    await house.history.add(wish.request, BEN, origin=wish.origin)
    await house.studio.delete(parent.record.id, ADA)
    await house.shut()
    studio = await house.open()
    (record,) = await studio.recover("discord")
    piece = await studio.resume(record)
    assert notes(piece)[:40] == before
    assert piece.record.origin is None


def elsewhere(tempo_bpm: float = 97.6) -> bytes:
    """A minor scale up and down on a piano, in D, off the grid, with a drone below."""
    scale = [62, 64, 65, 67, 69, 70, 73, 74, 73, 70, 69, 67, 65, 64, 62, 62]
    line = [Note(13 * n + n % 2, Part.KEYS, pitch, 11, 77) for n, pitch in enumerate(scale)]
    score = Score(tuple(sorted([*line, Note(0, Part.DRONE, 38, 300, 60)])), tempo_bpm)
    return write_midi(score, title="From elsewhere")


async def test_a_file_from_elsewhere_is_continued_in_its_key_and_tempo(house: House) -> None:
    await house.studio.servers.set_defaults("10", "hopeful temp:0.4", ADA)
    wish = await continuation_of_file(house.studio, elsewhere(), ADA, {"length": 20})
    request = wish.request
    assert (str(request.key), request.tempo_bpm, request.temperature) == ("Dm", 98, 0.4)
    assert request.mood is not Mood.HOPEFUL  # heard in the file
    assert wish.origin is None
    piece = await compose(house, wish)
    assert len(notes(piece)) == 37
    given, kept = read_midi(elsewhere()).score.notes, notes(piece)[:17]
    assert [(note.part, note.pitch) for note in kept] == [(note.part, note.pitch) for note in given]
    assert all(abs(a.start_step - b.start_step) <= 3 for a, b in zip(given, kept, strict=True))


async def test_a_file_is_continued_in_the_mood_that_was_asked_for(house: House) -> None:
    request = (await continuation_of_file(house.studio, elsewhere(), ADA, {"mood": "ethereal"})).request
    assert request.mood is Mood.ETHEREAL


@pytest.mark.parametrize(("tempo_bpm", "nearest"), [(30.0, 40), (240.0, 200)])
async def test_a_tempo_beyond_what_can_be_asked_for_becomes_the_nearest(
    house: House, tempo_bpm: float, nearest: int
) -> None:
    assert (await continuation_of_file(house.studio, elsewhere(tempo_bpm), ADA, {})).request.tempo_bpm == nearest


async def test_a_file_of_a_piece_of_ours_is_that_piece(house: House) -> None:
    parent = await house.studio.compose(REQUEST, ADA)
    content = parent.midi.read_bytes()
    wish = await continuation_of_file(house.studio, content, BEN, {})
    assert wish.origin == Origin(parent.record.id, Relation.CONTINUED)
    assert wish.request.mood is Mood.EPIC
    private = await house.studio.compose(dataclasses.replace(REQUEST, seed=4, id="prvt2345"), ADA, private=True)
    assert (await continuation_of_file(house.studio, private.midi.read_bytes(), BEN, {})).origin is None


async def test_of_a_long_file_the_end_is_continued(house: House) -> None:
    line = tuple(Note(6 * n, Part.PLUCK, 48 + n * n % 30, 6, 68) for n in range(9000))
    request = (
        await continuation_of_file(house.studio, write_midi(Score(line, 120), title=""), ADA, {"length": 900})
    ).request
    assert request.opening is not None
    assert 1092 <= len(request.opening) <= 1100
    assert request.key is not None
    shifted = request.opening.tokens[:, PITCH] + 21 + request.key.shift
    assert shifted.tolist() == [note.pitch for note in line[-len(request.opening) :]]


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF....WAVE", elsewhere()[:40], b"MThd" + bytes(MAX_BYTES)],
    ids=["empty", "sound", "cut off", "too large"],
)
async def test_what_is_no_midi_file_is_told_in_one_sentence(house: House, content: bytes) -> None:
    with pytest.raises(InvalidMidi, match=r"\.$"):
        await continuation_of_file(house.studio, content, ADA, {})


async def test_the_console_continues_and_varies(house: House, tmp_path: Path) -> None:
    chat = Chat(house.studio, TERMINAL, tmp_path / "out")
    await chat.answer("/compose dark length:32 seed:1")
    (midi,) = (tmp_path / "out").glob("*.mid")
    piece_id = midi.stem.removeprefix("dark-")
    said = await chat.answer(f"continue {piece_id} length:16 mood:epic")
    assert "48 notes" in said
    assert "(epic, " in said
    assert "The same again: /show " in said
    assert "32 notes" in await chat.answer(f"/vary {piece_id}")
    assert house.engine.taken.count(piece_id) == 1  # its notes were at hand, though its files were handed over
    assert "48 notes" in await chat.answer(f"/continue '{midi}' length:16")
    (tmp_path / "from elsewhere.mid").write_bytes(elsewhere())
    assert "217 notes" in await chat.answer(f"/continue {tmp_path / 'from elsewhere.mid'}")
    newest = (await house.studio.recent(TERMINAL))[0]
    assert newest.request.opening is not None
    assert newest.origin is None


async def test_the_console_says_what_it_cannot_continue(house: House, tmp_path: Path) -> None:
    chat = Chat(house.studio, TERMINAL, tmp_path / "out")
    for line, expected in (
        ("/continue", "the id of a piece"),
        ("/vary", "the id of a piece"),
        ("continue nothing length:16", "no piece 'nothing'"),
        ("continue nothing lenth:16", "did you mean length"),
    ):
        with pytest.raises((InvalidRequest, NotFound), match=expected):
            await chat.answer(line)
    (tmp_path / "large.mid").write_bytes(b"MThd" + bytes(MAX_BYTES))
    with pytest.raises(InvalidMidi, match="larger than 2 MB"):
        await chat.answer(f"/continue {tmp_path / 'large.mid'}")


def test_an_opening_leaves_notes_to_write() -> None:
    opening = Opening("Ku4o" + "LvUI" * 15)
    assert ComposeRequest(length_notes=17, opening=opening).opening is opening
    for wrong in ({"length_notes": 16, "opening": opening}, {"opening": "Ku4o"}):
        with pytest.raises(InvalidRequest):
            ComposeRequest(**wrong)
