import asyncio
import hashlib
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace

import pytest

from bot.errors import Cancelled, LimitReached, NotAllowed, NotFound, Unexpected
from bot.history import MessageRef, Origin, Relation, Requester, State
from bot.pieces import Piece
from bot.quota import Limits
from bot.settings import ROOT
from data.midi import read_midi
from data.moods import Mood
from engine.errors import Busy, EngineClosed, InvalidRequest, RenderFailed
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, EVE, TERMINAL, House

Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def _composed(house: House, request: ComposeRequest | None = None) -> Piece:
    piece = await house.studio.compose(request or ComposeRequest(length_notes=32), ADA)
    await house.studio.mark_delivered(piece.record.id)
    return piece


async def test_a_piece_has_files_and_their_digests_and_is_delivered_only_when_accepted(house: House) -> None:
    request = ComposeRequest(mood=Mood.EPIC, length_notes=40)
    piece = await house.studio.compose(request, ADA)
    result = piece.record.result
    assert result is not None
    assert len(read_midi(piece.midi.read_bytes()).score.notes) == result.notes == 40
    assert hashlib.sha256(piece.midi.read_bytes()).hexdigest() == result.midi_sha256
    assert hashlib.sha256(piece.wav.read_bytes()).hexdigest() == result.wav_sha256
    assert piece.png.read_bytes().startswith(b"\x89PNG")
    assert house.files() == {f"{request.id}.mid", f"{request.id}.wav", f"{request.id}.png"}
    assert piece.record.state is State.RUNNING
    done = await house.studio.mark_delivered(request.id, MessageRef("100", "7"))
    assert (done.state, done.message) == (State.DELIVERED, MessageRef("100", "7"))
    assert await house.studio.mark_delivered(request.id) == done


async def test_an_error_of_the_engine_is_kept_and_passed_on(house: House) -> None:
    request = ComposeRequest()
    house.engine.errors.append(RenderFailed("The synthesiser stopped."))
    with pytest.raises(RenderFailed):
        await house.studio.compose(request, ADA)
    record = await house.studio.find(request.id)
    assert (record.state, record.error) == (State.FAILED, "The synthesiser stopped.")


async def test_a_mistake_in_the_program_is_told_in_one_sentence_and_logged(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    request = ComposeRequest()
    house.engine.errors.append(ZeroDivisionError())
    with pytest.raises(Unexpected, match=request.id):
        await house.studio.compose(request, ADA)
    assert (await house.studio.find(request.id)).state is State.FAILED
    assert "ZeroDivisionError" in caplog.text


async def test_a_folder_that_cannot_be_written_fails_the_piece_in_one_sentence(house: House) -> None:
    house.pieces_dir.write_text("a file where the folder should be")
    request = ComposeRequest()
    with pytest.raises(Exception, match="cannot be kept"):
        await house.studio.compose(request, ADA)
    assert (await house.studio.find(request.id)).state is State.FAILED


async def test_cancelling_the_one_who_waits_marks_the_request_cancelled(house: House, until: Until) -> None:
    request = ComposeRequest()
    house.engine.gate.clear()
    waiting = asyncio.create_task(house.studio.compose(request, ADA))
    await until(lambda: house.engine.taken == [request.id])
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await house.studio.find(request.id)).state is State.CANCELLED
    assert house.files() == set()


async def test_cancelled_while_it_is_written_down_a_request_is_cancelled_and_not_left_over(house: House) -> None:
    request = ComposeRequest()
    with closing(sqlite3.connect(house.folder / "history.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(house.studio.compose(request, ADA))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.sleep(0.01)
        another.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await house.studio.find(request.id)).state is State.CANCELLED
    assert house.engine.taken == []


async def test_cancel_stops_running_and_queued_pieces_for_their_author_or_a_moderator(
    house: House, until: Until
) -> None:
    await house.shut()
    await house.open(Limits(slots=1))
    house.engine.gate.clear()
    running, queued = ComposeRequest(), ComposeRequest()
    first = asyncio.create_task(house.studio.compose(running, ADA))
    await until(lambda: house.engine.taken == [running.id])
    second = asyncio.create_task(house.studio.compose(queued, ADA))
    await until(lambda: house.studio.waiting == 1)
    with pytest.raises(NotAllowed):
        await house.studio.cancel(running.id, BEN)
    assert (await house.studio.cancel(queued.id, ADA)).state is State.CANCELLED
    assert (await house.studio.cancel(running.id, BEN, moderator=True)).state is State.CANCELLED
    for task in (first, second):
        with pytest.raises(Cancelled):
            await task
    house.engine.gate.set()
    piece = await _composed(house)
    assert (await house.studio.cancel(piece.record.id, ADA)).state is State.DELIVERED
    assert piece.wav.exists()


async def test_a_hundred_at_once_are_all_made(house: House) -> None:
    await house.shut()
    await house.open(Limits(guild_waiting=200))
    people = [replace(ADA, user_id=str(number)) for number in range(100)]
    pieces = await asyncio.gather(*(house.studio.compose(ComposeRequest(length_notes=16), who) for who in people))
    assert len({piece.record.id for piece in pieces}) == 100
    assert all(piece.wav.exists() for piece in pieces)


async def test_nobody_can_have_too_many_pieces_in_the_making(house: House, until: Until) -> None:
    await house.shut()
    await house.open(Limits(slots=1, user_waiting=2, guild_waiting=3, queue=3))
    finished = await _composed(house)
    house.engine.gate.clear()
    refused = ComposeRequest()
    tasks: list[asyncio.Task[Piece]] = []

    async def ask(*people: Requester) -> None:
        tasks.extend(asyncio.create_task(house.studio.compose(ComposeRequest(), who)) for who in people)
        await until(lambda: house.studio.waiting == len(tasks) - 1)

    async def is_refused(who: Requester, says: str) -> None:
        with pytest.raises(Busy, match=says):
            async with asyncio.timeout(5):
                await house.studio.compose(refused, who)
        with pytest.raises(NotFound):
            await house.studio.find(refused.id)

    await ask(ADA, ADA)
    await is_refused(ADA, "You have 2 pieces in the making")
    with pytest.raises(Busy, match="You have 2 pieces"):
        await asyncio.wait_for(house.studio.remake(finished.record.id, ADA), 5)
    await ask(BEN)
    await is_refused(replace(BEN, user_id="4"), "This server has 3 pieces in the making")
    await ask(TERMINAL)
    for who in (EVE, TERMINAL):
        await is_refused(who, "3 pieces are waiting already")
    house.engine.gate.set()
    await asyncio.gather(*tasks)
    await house.studio.compose(refused, ADA)


async def test_of_wishes_at_once_no_more_are_taken_than_are_allowed(house: House) -> None:
    await house.shut()
    await house.open(Limits(user_per_hour=2))
    wishes = (house.studio.compose(ComposeRequest(length_notes=16), ADA) for _ in range(4))
    found = await asyncio.gather(*wishes, return_exceptions=True)
    assert [isinstance(each, LimitReached) for each in found] == [False, False, True, True]


async def test_the_hourly_limit_tells_when_and_failures_and_refusals_cost_nothing(house: House) -> None:
    await house.shut()
    await house.open(Limits(user_per_hour=2))
    house.engine.errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await house.studio.compose(ComposeRequest(), ADA)
    await _composed(house)
    house.later(minutes=20)
    await _composed(house)
    for _ in range(3):
        with pytest.raises(LimitReached, match="2 pieces within an hour") as caught:
            await house.studio.compose(ComposeRequest(), ADA)
        assert caught.value.retry_after_s == pytest.approx(40 * 60)
    await house.studio.compose(ComposeRequest(), BEN)
    house.later(minutes=41)
    await _composed(house)


async def test_a_server_has_a_limit_of_its_own(house: House) -> None:
    await house.shut()
    await house.open(Limits(guild_per_hour=1))
    await _composed(house)
    with pytest.raises(LimitReached, match="This server has asked for 1 piece within an hour"):
        await house.studio.compose(ComposeRequest(), BEN)
    await house.studio.compose(ComposeRequest(), EVE)
    await house.studio.compose(ComposeRequest(), replace(BEN, guild_id=None))


async def test_a_mistyped_id_is_answered_with_the_nearest(house: House) -> None:
    request = ComposeRequest(id="abcd2345")
    await house.studio.compose(request, ADA)
    assert (await house.studio.find("  #ABCD2345 ", ADA)).id == "abcd2345"
    with pytest.raises(NotFound, match=r"There is no piece 'abcd2354' \(did you mean abcd2345\?\)\."):
        await house.studio.find("abcd2354", BEN)
    with pytest.raises(NotFound, match=r"^There is no piece 'abcd2354'\.$"):
        await house.studio.find("abcd2354", EVE)


async def test_a_server_s_pieces_are_those_of_the_channels_that_one_may_read(house: House) -> None:
    here, elsewhere = ComposeRequest(), ComposeRequest(id="hkqden22")
    await house.studio.compose(here, ADA)
    await house.studio.compose(elsewhere, replace(BEN, channel_id="200"))
    both = [elsewhere.id, here.id]
    assert [record.id for record in await house.studio.recent(ADA, channels=["100"])] == [here.id]
    assert [record.id for record in await house.studio.recent(ADA, channels=["100", "200"])] == both
    assert [record.id for record in await house.studio.recent(BEN, channels=["100"])] == both
    with pytest.raises(NotFound, match=r"^There is no piece 'hkqden23'\.$"):
        await house.studio.find("hkqden23", ADA)


async def test_private_pieces_are_seen_by_their_author_alone(house: House) -> None:
    hidden, shown = ComposeRequest(), ComposeRequest()
    await house.studio.compose(hidden, ADA, private=True)
    await house.studio.compose(shown, BEN)
    assert [record.id for record in await house.studio.recent(ADA, channels=["100"])] == [shown.id, hidden.id]
    assert [record.id for record in await house.studio.recent(BEN, channels=["100"])] == [shown.id]
    assert [record.id for record in await house.studio.recent(ADA)] == [hidden.id]
    assert (await house.studio.find(hidden.id, ADA)).private
    with pytest.raises(NotFound, match=r"^There is no piece '[a-z0-9]*'\.$"):
        await house.studio.find(hidden.id, BEN)


async def test_a_piece_remembers_what_it_came_out_of(house: House) -> None:
    parent = await _composed(house)
    child = await house.studio.compose(ComposeRequest(), BEN, origin=Origin(parent.record.id, Relation.AGAIN))
    assert (await house.studio.find(child.record.id)).origin == Origin(parent.record.id, Relation.AGAIN)


async def test_made_again_it_is_the_same_piece_bit_for_bit(house: House) -> None:
    piece = await _composed(house)
    before = piece.midi.read_bytes(), piece.wav.read_bytes()
    for path in (piece.midi, piece.wav, piece.png):
        path.unlink()
    remade = await house.studio.remake(piece.record.id, BEN)
    assert (remade.same_notes, remade.same_sound, remade.other_checkpoint) == (True, True, False)
    assert (remade.piece.midi.read_bytes(), remade.piece.wav.read_bytes()) == before
    assert len(house.files()) == 3
    assert (await house.studio.find(piece.record.id)).state is State.DELIVERED


async def test_made_again_by_another_checkpoint_it_says_so_and_keeps_the_original(house: House) -> None:
    piece = await _composed(house)
    before = piece.midi.read_bytes()
    house.engine.checkpoint_id = "small-2"
    remade = await house.studio.remake(piece.record.id)
    assert (remade.same_notes, remade.same_sound, remade.other_checkpoint) == (False, False, True)
    assert remade.checkpoint_id == "small-2"
    assert remade.piece.midi.read_bytes() != before
    assert piece.midi.read_bytes() == before


async def test_two_people_may_look_at_one_piece_at_once(house: House) -> None:
    piece = await _composed(house)
    both = await asyncio.gather(*(house.studio.remake(piece.record.id, who) for who in (ADA, BEN)))
    assert all(remade.same_sound for remade in both)


async def test_what_was_never_finished_cannot_be_shown(house: House) -> None:
    request = ComposeRequest()
    house.engine.errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await house.studio.compose(request, ADA)
    with pytest.raises(InvalidRequest, match="never finished"):
        await house.studio.remake(request.id)


async def test_the_files_of_a_piece_are_found_or_made_again(house: House) -> None:
    piece = await _composed(house)
    assert await house.studio.piece(piece.record.id) == replace(piece, record=await house.studio.find(piece.record.id))
    assert len(house.engine.taken) == 1
    piece.wav.write_bytes(b"damaged")
    assert (await house.studio.piece(piece.record.id)).wav.read_bytes().startswith(b"RIFF")
    assert len(house.engine.taken) == 2


async def test_stopping_leaves_nothing_running_and_the_next_start_goes_on(house: House, until: Until) -> None:
    await house.shut()
    await house.open(Limits(slots=1))
    house.engine.gate.clear()
    asked = [(ComposeRequest(), ADA), (ComposeRequest(), TERMINAL), (ComposeRequest(), BEN)]
    tasks = [asyncio.create_task(house.studio.compose(request, who)) for request, who in asked]
    await until(lambda: house.studio.waiting == 2)
    await house.shut()
    for task in tasks:
        with pytest.raises(EngineClosed):
            await task
    await house.open()
    (ada, _), (terminal, _), (ben, _) = asked
    left = await house.studio.recover("discord")
    assert [record.id for record in left] == [ada.id, ben.id]
    assert (await house.studio.find(terminal.id)).state is State.FAILED
    assert await house.studio.recover("discord") == []
    for record in left:
        piece = await house.studio.resume(record)
        assert piece.record.request == record.request
        await house.studio.mark_delivered(record.id)
    assert await house.history.newest(states=[State.QUEUED, State.RUNNING]) == []


async def test_a_piece_that_was_made_but_not_delivered_is_not_made_again(house: House) -> None:
    made = await house.studio.compose(ComposeRequest(), ADA)
    await house.shut()
    await house.open()
    (record,) = await house.studio.recover("discord")
    assert record.attempts == 0
    piece = await house.studio.resume(record)
    assert house.engine.taken == []
    assert piece.wav == made.wav
    assert (await house.studio.mark_delivered(record.id)).state is State.DELIVERED


async def test_a_piece_that_kills_the_program_again_and_again_is_given_up(house: House) -> None:
    request = ComposeRequest()
    await house.history.add(request, ADA)
    for attempt in range(1, 4):
        await house.history.start(request.id)  # and here it dies
        await house.shut()
        await house.open()
        (record,) = await house.studio.recover("discord")
        assert record.attempts == attempt
    with pytest.raises(Unexpected, match="I stopped 3 times"):
        await house.studio.resume(record)
    assert (await house.studio.find(request.id)).state is State.FAILED
    assert house.engine.taken == []


async def test_orderly_restarts_are_not_held_against_a_piece(house: House, until: Until) -> None:
    request = ComposeRequest()
    house.engine.gate.clear()
    making = asyncio.create_task(house.studio.compose(request, ADA))
    for _ in range(5):
        await until(lambda: house.engine.taken == [request.id])
        await house.shut()
        with pytest.raises(EngineClosed):
            await making
        await house.open()
        house.engine.gate.clear()
        (record,) = await house.studio.recover("discord")
        making = asyncio.create_task(house.studio.resume(record))
    house.engine.gate.set()
    assert (await making).record.result is not None


async def test_a_terminal_does_not_take_what_belongs_to_discord(house: House) -> None:
    await house.studio.compose(ComposeRequest(), ADA)
    await house.shut()
    await house.open()
    assert await house.studio.recover("cli") == []
    assert len(await house.studio.recover("discord")) == 1


async def test_after_closing_it_says_so(house: House) -> None:
    await house.studio.aclose()
    await house.studio.aclose()
    with pytest.raises(EngineClosed):
        await house.studio.compose(ComposeRequest(), ADA)


def test_the_use_cases_load_neither_discord_nor_torch() -> None:
    code = "import sys, bot.studio; sys.exit(len({'discord', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0
