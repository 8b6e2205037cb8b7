import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.errors import Cancelled, NotAllowed, NotFound
from bot.history import Origin, Record, Relation, State
from engine.types import ComposeRequest, Stage
from tests.bot.conftest import ADA, BEN, EVE, House

Until = Callable[[Callable[[], bool]], Awaitable[None]]


async def _made(house: House, who: object = ADA, *, private: bool = False, origin: Origin | None = None) -> Record:
    piece = await house.studio.compose(
        ComposeRequest(length_notes=16),
        who,  # type: ignore[arg-type]
        private=private,
        origin=origin,
    )
    house.later(seconds=1)
    return await house.studio.mark_delivered(piece.record.id)


def _ids(records: list[Record]) -> list[str]:
    return [record.id for record in records]


async def test_favourites_are_kept_once_each_and_listed_latest_first(house: House) -> None:
    library = house.studio.library
    second, first = await _made(house, BEN), await _made(house)
    hidden = await _made(house, private=True)
    assert await library.set_favourite(hidden, BEN) == 1  # before its author made it private
    assert await library.set_favourite(first, BEN) == 1
    house.later(seconds=1)
    assert await library.set_favourite(second, BEN) == 1
    assert await library.set_favourite(second, BEN) == 1
    assert await library.set_favourite(second, ADA) == 2
    assert _ids(await library.favourites(BEN)) == [second.id, first.id]
    assert _ids(await library.favourites(BEN, offset=1)) == [first.id]
    assert await library.is_favourite(first, BEN)
    assert await library.set_favourite(first, BEN, on=False) == 0
    assert not await library.is_favourite(first, BEN)
    assert _ids(await library.favourites(BEN)) == [second.id]


async def test_the_best_of_a_server_are_its_own_public_pieces(house: House) -> None:
    library = house.studio.library
    best, good, hidden, elsewhere = (
        await _made(house, BEN),
        await _made(house),
        await _made(house, private=True),
        await _made(house, EVE),
    )
    aside = await _made(house, replace(ADA, channel_id="200"))
    for record, fans in (
        (aside, [ADA]),
        (good, [ADA]),
        (best, [ADA, BEN]),
        (hidden, [ADA]),
        (elsewhere, [ADA, BEN, EVE]),
    ):
        for fan in fans:
            await library.set_favourite(record, fan)
    assert [(ranked.record.id, ranked.favourites) for ranked in await library.top("10", ["100"])] == [
        (best.id, 2),
        (good.id, 1),
    ]
    assert [ranked.record.id for ranked in await library.top("10", ["100"], since=good.created_at)] == [good.id]
    assert [ranked.record.id for ranked in await library.top("10", ["200"])] == [aside.id]
    assert await library.top("99", ["100"]) == []


async def test_a_piece_knows_its_ancestors(house: House) -> None:
    root = await _made(house)
    child = await _made(house, BEN, origin=Origin(root.id, Relation.AGAIN))
    grandchild = await _made(house, origin=Origin(child.id, Relation.MOOD))
    assert _ids(await house.studio.library.lineage(grandchild)) == [root.id, child.id]
    assert await house.studio.library.lineage(root) == []


async def test_deleting_a_piece_forgets_it_with_its_files_and_favourites(house: House) -> None:
    record = await _made(house)
    child = await _made(house, BEN, origin=Origin(record.id, Relation.AGAIN))
    await house.studio.library.set_favourite(record, BEN)
    with pytest.raises(NotAllowed):
        await house.studio.delete(record.id, BEN)
    assert (await house.studio.delete(record.id, ADA)).id == record.id
    with pytest.raises(NotFound):
        await house.studio.find(record.id)
    assert await house.studio.library.favourites(BEN) == []
    assert (await house.studio.find(child.id)).origin is None
    assert {name.partition(".")[0] for name in house.files()} == {child.id}
    with pytest.raises(NotFound, match="has been deleted"):
        await house.studio.mark_delivered(record.id)
    await house.studio.delete(child.id, ADA, moderator=True)
    assert house.files() == set()


async def test_deleting_a_piece_in_the_making_stops_it(house: House, until: Until) -> None:
    request = ComposeRequest()
    house.engine.gate.clear()
    waiting = asyncio.create_task(house.studio.compose(request, ADA))
    await until(lambda: house.engine.taken == [request.id])
    await house.studio.delete(request.id, ADA)
    with pytest.raises(Cancelled):
        await waiting
    assert house.files() == set()
    assert await house.history.newest() == []


async def test_the_queue_shows_ones_own_pieces_with_their_places(house: House, until: Until) -> None:
    house.engine.gate.clear()
    tasks = [asyncio.create_task(house.studio.compose(ComposeRequest(), who)) for who in (BEN, BEN, BEN, ADA, ADA)]
    await until(lambda: house.studio.waiting == 2 and len(house.engine.taken) == 3)
    assert [(update.stage, update.done) for update in house.studio.queue(ADA)] == [(Stage.QUEUED, 0), (Stage.QUEUED, 1)]
    assert [update.stage for update in house.studio.queue(BEN)] == [Stage.SAMPLING] * 3
    assert house.studio.queue(EVE) == []
    house.engine.gate.set()
    await asyncio.gather(*tasks)
    assert house.studio.queue(ADA) == []


async def test_pieces_past_their_time_are_forgotten_but_not_favourites(house: House) -> None:
    old, loved, young = await _made(house), await _made(house), None
    await house.studio.library.set_favourite(loved, BEN)
    undelivered = (await house.studio.compose(ComposeRequest(), ADA)).record
    house.later(days=31)
    young = await _made(house)
    house.later(days=1)
    tidied = await house.studio.tidy(keep_for=timedelta(days=30), budget_bytes=10**9)
    assert tidied.pieces == 1
    assert set(_ids(await house.history.newest())) == {loved.id, young.id, undelivered.id}
    assert not any(name.startswith(old.id) for name in house.files())
    assert (await house.studio.tidy(keep_for=None, budget_bytes=10**9)).pieces == 0


async def test_the_oldest_sounds_go_first_and_can_be_made_again(house: House) -> None:
    records = [await _made(house) for _ in range(3)]
    undelivered = (await house.studio.compose(ComposeRequest(length_notes=16), ADA)).record
    listed = [path.stem for path in house.pieces_dir.glob("*.wav")]
    records.sort(key=lambda record: -listed.index(record.id))  # the folder lists the newest first
    for age, record in enumerate([undelivered, *records]):
        wav = house.pieces_dir / f"{record.id}.wav"
        os.utime(wav, (0, 10_000 + age))
    stray, fresh = house.pieces_dir / "abcd2345.mid", house.pieces_dir / "abcd2346.mid"
    for path in (stray, fresh):
        path.write_bytes(b"MThd")
    os.utime(stray, (0, 0))
    size = wav.stat().st_size
    await house.studio.tidy(keep_for=None, budget_bytes=2 * size)
    left = {path.stem for path in house.pieces_dir.glob("*.wav")}
    assert left == {undelivered.id, records[2].id}
    assert (stray.exists(), fresh.exists()) == (False, True)
    assert (house.pieces_dir / f"{records[0].id}.mid").exists()
    assert (await house.studio.piece(records[0].id)).wav.exists()
    assert (await house.studio.find(records[0].id)).state is State.DELIVERED


async def test_fresh_sounds_are_never_deleted(house: House) -> None:
    record = await _made(house)
    await house.studio.tidy(keep_for=None, budget_bytes=0)
    assert (house.pieces_dir / f"{record.id}.wav").exists()


async def test_tidying_deletes_nothing_that_is_not_the_bots(house: House) -> None:
    record = await _made(house)
    for name in ("photo.jpg", "old song.mid", "holidays.wav", ".bashrc.txt"):
        path = house.pieces_dir / name
        path.write_bytes(b"mine")
        os.utime(path, (0, 0))
    before = house.files()
    await house.studio.tidy(keep_for=None, budget_bytes=0)
    assert before <= house.files()
    assert (house.pieces_dir / f"{record.id}.mid").exists()


async def test_tidying_leaves_the_pieces_of_another_database_alone(house: House) -> None:
    await _made(house)
    await house.studio.tidy(keep_for=None, budget_bytes=10**9)
    await house.shut()
    for path in house.pieces_dir.glob("*.*"):
        os.utime(path, (0, 0))
    (house.folder / "history.db").rename(house.folder / "before.db")
    await house.open()
    assert (await house.studio.tidy(keep_for=None, budget_bytes=0)).files == 0
    (house.pieces_dir / ".database").rename(house.folder / "marker")  # nothing says whose they are
    assert (await house.studio.tidy(keep_for=None, budget_bytes=0)).files == 0
    (house.folder / "marker").rename(house.pieces_dir / ".database")
    await _made(house)
    assert (await house.studio.tidy(keep_for=None, budget_bytes=10**9)).files == 0
