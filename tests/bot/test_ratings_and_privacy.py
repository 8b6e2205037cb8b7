import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import replace

import pytest

from bot.continuing import continuation
from bot.errors import Cancelled, NotFound
from bot.history import MessageRef, Origin, Record, Relation
from bot.ratings import SCALES, Mean, Rating
from engine.errors import InvalidRequest, RenderFailed
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, EVE, House

Until = Callable[[Callable[[], bool]], Awaitable[None]]
ADA_ELSEWHERE = replace(ADA, guild_id=None, channel_id="900", user_name="Ada L.")


async def _made(house: House, who: object = ADA, origin: Origin | None = None) -> Record:
    piece = await house.studio.compose(ComposeRequest(length_notes=16), who, origin=origin)  # type: ignore[arg-type]
    return await house.studio.mark_delivered(piece.record.id)


async def test_each_checkpoint_has_its_means_with_confidence_intervals(house: House) -> None:
    ratings = house.studio.ratings
    first = await _made(house)
    house.engine.checkpoint_id = "small-2"
    second = await _made(house)
    await ratings.rate(first, ADA, Rating(1, 1, 1, 1))
    await ratings.rate(first, ADA, Rating(2, 3, 4, 5))  # changed her mind
    await ratings.rate(first, BEN, Rating(4, 3, 4, 1))
    await ratings.rate(first, EVE, Rating(3, 3, 4, 3))
    await ratings.rate(second, ADA, Rating(5, 5, 5, 5))
    small_1, small_2 = await ratings.stats()
    assert (small_1.checkpoint_id, small_1.ratings, small_1.raters, small_1.pieces) == ("small-1", 3, 3, 1)
    assert small_1.means["coherence"].value == 3
    assert small_1.means["coherence"].margin == pytest.approx(2.484, abs=0.001)  # t(0.975, 2) / sqrt(3) = 4.303 / 1.732
    assert small_1.means["atmosphere"] == Mean(4.0, 0.0)
    assert small_2.means["fit"] == Mean(5.0, None)


async def test_one_who_rates_much_counts_once(house: House) -> None:
    for _ in range(3):
        await house.studio.ratings.rate(await _made(house), ADA, Rating(1, 1, 1, 1))
    await house.studio.ratings.rate(await _made(house), BEN, Rating(5, 5, 5, 5))
    (stats,) = await house.studio.ratings.stats()
    assert (stats.ratings, stats.raters, stats.pieces) == (4, 2, 4)
    assert stats.means["coherence"].value == 3


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("value", [0, 6, True, 2.5])
def test_a_rating_is_from_one_to_five(scale: str, value: object) -> None:
    with pytest.raises(InvalidRequest, match=scale):
        Rating(**(dict.fromkeys(SCALES, 3) | {scale: value}))  # type: ignore[arg-type]


async def test_a_piece_that_failed_cannot_be_rated(house: House) -> None:
    request = ComposeRequest()
    house.engine.errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await house.studio.compose(request, ADA)
    with pytest.raises(InvalidRequest, match="never finished"):
        await house.studio.ratings.rate(await house.studio.find(request.id), ADA, Rating(3, 3, 3, 3))


async def _live(house: House) -> tuple[Record, Record]:
    """Ada and Ben use the bot in every way."""
    mine, bens = await _made(house), await _made(house, BEN)
    house.later(minutes=1)
    await _made(house, ADA_ELSEWHERE)
    await _made(house, BEN, Origin(mine.id, Relation.AGAIN))
    for person in (ADA, BEN):
        for record in (mine, bens):
            await house.studio.library.set_favourite(record, person)
            await house.studio.ratings.rate(record, person, Rating(3, 3, 3, 3))
            await house.studio.library.add_copy(record, MessageRef("100", f"copy of {record.id}"))
        await house.studio.presets.save(person, "night", "dark")
        await house.studio.privacy.set_training_consent(person, given=True)
        await house.studio.servers.set_defaults("10", "dark", person)
    return mine, bens


async def test_a_person_sees_how_much_is_kept(house: House) -> None:
    mine, _ = await _live(house)
    kept = await house.studio.privacy.kept(ADA_ELSEWHERE)
    assert (kept.requests, kept.favourites, kept.presets, kept.ratings) == (2, 2, 1, 2)
    assert kept.since == mine.created_at
    assert kept.training_consent


async def test_the_export_has_everything_about_me_and_nothing_about_others(house: House) -> None:
    mine, bens = await _live(house)
    export = json.loads(json.dumps(await house.studio.privacy.export(ADA)))
    assert export["requests"][0]["id"] == mine.id
    assert len(export["requests"]) == 2
    assert export["requests"][0]["result"]["midi_sha256"]
    assert export["requests"][0]["requester"]["user_name"] == "Ada"
    assert {favourite["request_id"] for favourite in export["favourites"]} == {mine.id, bens.id}
    assert export["presets"][0]["request"] == "mood:dark"
    assert [copy["message_id"] for copy in export["copies"]] == [f"copy of {mine.id}"]
    assert export["administration"][0]["action"] == "set"
    assert "Ben" not in json.dumps(export)
    assert "discord:2" not in json.dumps(export)


async def test_forget_me_leaves_no_trace_of_me_and_everything_of_others(house: House) -> None:
    mine, bens = await _live(house)
    for change in (house.studio.servers.block, house.studio.servers.unblock):
        await change(ADA.person, "10", BEN)
    assert await house.studio.forget(ADA) == 2
    with pytest.raises(NotFound):
        await house.studio.find(mine.id)
    assert not any(name.startswith(mine.id) for name in house.files())
    assert (await house.studio.find(bens.id)).requester == BEN
    assert await house.studio.library.favourite_count(bens) == 1
    assert (await house.studio.privacy.kept(BEN)).requests == 2
    await house.shut()
    with closing(sqlite3.connect(house.folder / "history.db")) as db:
        dump = "\n".join(db.iterdump())
    assert b"Ada L." not in (house.folder / "history.db").read_bytes()  # nor in pages that are free now
    await house.open()
    assert "discord:1'" not in dump
    assert "'Ada" not in dump
    assert "'Ben'" in dump


async def test_forgetting_stops_what_is_in_the_making(house: House, until: Until) -> None:
    house.engine.gate.clear()
    tasks = [asyncio.create_task(house.studio.compose(ComposeRequest(), ADA)) for _ in range(4)]
    await until(lambda: house.studio.waiting == 1)
    assert await house.studio.forget(ADA) == 4
    for task in tasks:
        with pytest.raises(Cancelled):
            await task
    assert await house.history.newest() == []
    assert house.files() == set()


async def test_being_blocked_is_not_forgotten(house: House) -> None:
    await house.studio.servers.block(ADA.person, "10", BEN)
    await house.studio.forget(ADA)
    assert await house.studio.servers.blocked("10") == [ADA.person]


async def test_only_what_its_author_likes_and_allows_is_used_for_training(house: House) -> None:
    privacy, library = house.studio.privacy, house.studio.library
    mine, bens, other = await _made(house), await _made(house, BEN), await _made(house)
    for person in (ADA, BEN):
        await library.set_favourite(bens, person)
    await library.set_favourite(mine, ADA)
    await library.set_favourite(other, BEN)
    assert await privacy.training_pieces() == []
    for _ in range(2):  # twice is once
        await privacy.set_training_consent(ADA, given=True)
    assert [record.id for record in await privacy.training_pieces()] == [mine.id]
    await privacy.set_training_consent(ADA, given=False)
    assert await privacy.training_pieces() == []


async def test_what_begins_with_the_notes_of_others_is_not_its_authors_to_give(house: House) -> None:
    privacy, library = house.studio.privacy, house.studio.library
    await privacy.set_training_consent(ADA, given=True)
    bens = await _made(house, BEN)
    wish = await continuation(house.studio, bens.id, ADA, {"length": 16})
    continued = (await house.studio.compose(wish.request, ADA, origin=wish.origin)).record
    await house.studio.mark_delivered(continued.id)
    await library.set_favourite(continued, ADA)
    assert await privacy.training_pieces() == []
