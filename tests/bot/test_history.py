import asyncio
import dataclasses
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.errors import HistoryProblem
from bot.history import History, MessageRef, Origin, Relation, Requester, Result, State
from bot.history.migrate import migrate, migrations
from bot.settings import ROOT
from data.keys import Key
from data.moods import Mood
from data.opening import Opening
from data.spaces import Space
from engine.types import TOP_P_MIN, ComposeRequest, Originality

ADA = Requester(front_end="discord", user_id="1", user_name="Ada", guild_id="10", channel_id="100")
BEN = Requester(front_end="discord", user_id="2", user_name="Ben 🎹", guild_id="10", channel_id="100")
TERMINAL = Requester(front_end="console", user_id="ada", user_name="ada")
RESULT = Result(
    checkpoint_id="v1-1a2b3c4d",
    key=Key(9, "minor"),
    tempo_bpm=61.5,
    notes=200,
    duration_s=93.25,
    sampling_s=0.5,
    rendering_s=1.25,
    notes_sha256="a" * 64,
    midi_sha256="b" * 64,
    wav_sha256="c" * 64,
    originality=Originality(0.034, 9, "Lament (somebody)", 0.062),
)


@pytest.fixture
async def history(tmp_path: Path) -> AsyncIterator[History]:
    async with History(tmp_path / "var" / "history.db") as opened:
        yield opened


async def test_every_field_of_a_request_comes_back(history: History) -> None:
    request = ComposeRequest(
        mood=Mood.EPIC,
        length_notes=33,
        temperature=0.1 + 0.2,
        top_p=0.77,
        seed=2**32 - 1,
        tempo_bpm=77,
        key=Key(6, "minor"),
        space=Space.TAPE,
        opening=Opening("Ku4oLvUI"),
    )
    plain = ComposeRequest()
    for field in dataclasses.fields(ComposeRequest):
        assert getattr(request, field.name) != getattr(plain, field.name), f"{field.name} is not tested here"
    added = await history.add(request, BEN, private=True)
    found = await history.get(request.id)
    assert found == added
    assert found is not None
    assert (found.request, found.id, found.requester, found.private) == (request, request.id, BEN, True)
    assert found.state is State.QUEUED
    assert abs(datetime.now(UTC) - found.created_at) < timedelta(minutes=1)


async def test_a_piece_of_a_smaller_nucleus_than_is_asked_for_today_is_remembered(history: History) -> None:
    request = ComposeRequest(top_p=0.5)
    object.__setattr__(request, "top_p", 1e-6)
    await history.add(request, BEN)
    found = await history.get(request.id)
    assert found is not None
    assert found.request.top_p == TOP_P_MIN


async def test_a_piece_is_remembered_from_queued_to_delivered(history: History) -> None:
    request = ComposeRequest()
    await history.add(request, ADA)
    started = await history.start(request.id)
    assert (started.state, started.result) == (State.RUNNING, None)
    await history.made(request.id, dataclasses.replace(RESULT, notes=16))
    made = await history.made(request.id, RESULT)  # its files were lost
    assert (made.state, made.result) == (State.RUNNING, RESULT)
    await history.set_message(request.id, MessageRef("100", "1000"))
    done = await history.finish(request.id, State.DELIVERED)
    assert (done.state, done.message) == (State.DELIVERED, MessageRef("100", "1000"))
    assert done.started_at is not None
    assert done.made_at is not None
    assert done.finished_at is not None
    assert done.created_at <= done.started_at <= done.made_at <= done.finished_at


async def test_a_final_state_is_final(history: History) -> None:
    request = ComposeRequest()
    await history.add(request, ADA)
    await history.finish(request.id, State.FAILED, error="No sound.")
    assert (await history.finish(request.id, State.DELIVERED)).state is State.FAILED
    assert (await history.start(request.id)).error == "No sound."
    assert (await history.requeue(request.id)).state is State.FAILED


async def test_the_same_id_twice_is_refused_and_leaves_the_first(history: History) -> None:
    request = ComposeRequest(seed=1)
    await history.add(request, ADA)
    with pytest.raises(HistoryProblem):
        await history.add(dataclasses.replace(request, seed=2), BEN)
    found = await history.get(request.id)
    assert found is not None
    assert (found.request.seed, found.requester) == (1, ADA)


async def test_a_piece_of_one_that_was_deleted_meanwhile_came_out_of_nothing(history: History) -> None:
    parent, child, other = ComposeRequest(), ComposeRequest(), ComposeRequest()
    assert (await history.add(other, ADA, origin=Origin(parent.id, Relation.VARIED))).origin is None
    await history.add(parent, ADA)
    record = await history.add(child, ADA, origin=Origin(parent.id, Relation.VARIED))
    assert record.origin == Origin(parent.id, Relation.VARIED)


async def test_newest_first_with_filters_and_pages(history: History) -> None:
    requests = [ComposeRequest(mood=mood) for mood in (Mood.DARK, Mood.EPIC, Mood.DARK, Mood.DARK)]
    for request, who in zip(requests, (ADA, BEN, ADA, TERMINAL), strict=True):
        await history.add(request, who, private=who is ADA)
    first, second, third, fourth = (request.id for request in requests)

    async def ids(**filters: object) -> list[str]:
        return [record.id for record in await history.newest(**filters)]  # type: ignore[arg-type]

    assert await ids() == [fourth, third, second, first]
    assert await ids(limit=2) == [fourth, third]
    number = next(record.number for record in await history.newest() if record.id == third)
    assert await ids(before=number) == [second, first]
    await history.delete(third)
    assert await ids(before=number) == [second, first]
    await history.add(requests[2], ADA, private=True)
    assert await ids(person=ADA.person) == [third, first]
    assert await ids(guild_id="10", mood=Mood.DARK) == [third, first]
    assert await ids(guild_id="10", viewer=BEN.person) == [second]
    assert await ids(guild_id="10", viewer=ADA.person) == [third, second, first]
    assert await ids(states=[State.DELIVERED]) == []
    assert await ids(person=ADA.person, states=[State.QUEUED]) == [third, first]
    assert await ids(since=datetime.now(UTC) + timedelta(minutes=1)) == []
    assert first in await ids(since=(await history.records("WHERE requests.id = :id", {"id": first}))[0].created_at)


async def test_a_cancelled_writer_leaves_the_database_usable(history: History) -> None:
    for _ in range(20):
        task = asyncio.create_task(history.add(ComposeRequest(), ADA))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    request = ComposeRequest()
    await history.add(request, ADA)
    assert (await history.newest(limit=1))[0].id == request.id


async def test_a_writer_that_is_cancelled_while_another_program_writes_leaves_nothing_open(history: History) -> None:
    with closing(sqlite3.connect(history.path, isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        task = asyncio.create_task(history.add(ComposeRequest(), ADA))
        for _ in range(2):  # by somebody who lost patience twice
            await asyncio.sleep(0.01)
            task.cancel()
        await asyncio.sleep(0.01)
        another.execute("ROLLBACK")
        await asyncio.gather(task, return_exceptions=True)
    await history.add(ComposeRequest(), ADA)


async def test_closing_lets_whoever_writes_come_to_the_end(tmp_path: Path) -> None:
    request = ComposeRequest()
    async with History(tmp_path / "history.db") as history:
        await history.add(request, ADA)
        sql = "UPDATE requests SET error = 'written' WHERE id = :id"
        writing = asyncio.create_task(history.write(sql, {"id": request.id}))
        await asyncio.sleep(0)
    assert await writing == 1
    async with History(tmp_path / "history.db") as history:
        assert [record.error for record in await history.newest()] == ["written"]


async def test_many_writers_at_once_lose_nothing(history: History) -> None:
    requests = [ComposeRequest() for _ in range(50)]

    async def live(request: ComposeRequest) -> None:
        await history.add(request, ADA)
        await history.start(request.id)
        await history.made(request.id, RESULT)
        await history.finish(request.id, State.DELIVERED)

    await asyncio.gather(*map(live, requests))
    assert len(await history.newest(states=[State.DELIVERED], limit=100)) == 50


async def test_two_programs_share_one_database(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with History(path) as one, History(path) as two:
        mine, yours = ComposeRequest(), ComposeRequest()
        assert (await one.rows("PRAGMA journal_mode", {}))[0][0] == "wal"  # who reads and who writes wait for nobody
        await asyncio.gather(one.add(mine, ADA), two.add(yours, BEN))
        assert await one.abandoned() == []
        assert await two.abandoned() == []
        assert await one.get(yours.id) is not None
    async with History(path) as three:
        assert {record.id for record in await three.abandoned()} == {mine.id, yours.id}
        await three.adopt(mine.id)
        assert [record.id for record in await three.abandoned()] == [yours.id]


async def test_a_database_of_a_newer_version_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    async with History(path):
        pass
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    with pytest.raises(HistoryProblem, match=r"newer version of this program: update it, or choose another file.*\.$"):
        await History(path).__aenter__()


@pytest.mark.parametrize("content", [b"not a database at all" * 100, "", "PRAGMA application_id = 1"])
async def test_a_file_of_another_kind_is_refused_and_kept(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    if isinstance(content, str):
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE recipes (title)")
            db.execute(f"PRAGMA user_version = {len(content) and len(migrations())}")
            db.execute(content)
    else:
        path.write_bytes(content)
    with pytest.raises(HistoryProblem):
        await History(path).__aenter__()
    assert isinstance(content, str) or path.read_bytes() == content


async def test_a_migration_that_fails_leaves_the_older_database_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, request = tmp_path / "history.db", ComposeRequest()
    async with History(path) as history:
        await history.add(request, ADA)
    broken = tmp_path / "9999_broken.sql"
    broken.write_text("CREATE TABLE extra (a);\nINSERT INTO nowhere VALUES (1);\n")
    monkeypatch.setattr("bot.history.migrate.migrations", lambda: [*migrations(), broken])
    with pytest.raises(HistoryProblem, match="nowhere"):
        await History(path).__aenter__()
    monkeypatch.undo()
    async with History(path) as history:
        assert await history.get(request.id) is not None
        assert await history.rows("SELECT 1 FROM sqlite_schema WHERE name = 'extra'", {}) == []


def test_programs_that_start_at_once_make_one_database(tmp_path: Path) -> None:
    for attempt in range(5):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(migrate, [tmp_path / f"{attempt}.db"] * 4))


async def test_a_program_waits_for_another_that_makes_the_database_just_now(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "history.db", isolation_level=None)) as another:
        another.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(asyncio.to_thread(migrate, tmp_path / "history.db"))
        await asyncio.sleep(0.05)
        another.execute("ROLLBACK")
        await waiting


async def test_migrations_are_numbered_without_gaps() -> None:
    assert [int(file.name[:4]) for file in migrations()] == list(range(1, len(migrations()) + 1))


WRITER = """
import asyncio, sys
from pathlib import Path
from bot.history import History, State
from engine.types import ComposeRequest
from tests.bot.test_history import ADA, RESULT

async def main():
    async with History(Path(sys.argv[1])) as history:
        print("open", flush=True)
        while True:
            request = ComposeRequest()
            await history.add(request, ADA)
            print("queued", request.id, flush=True)
            await history.start(request.id)
            print("running", request.id, flush=True)
            await history.made(request.id, RESULT)
            await history.finish(request.id, State.DELIVERED)
            print("delivered", request.id, flush=True)

asyncio.run(main())
"""


def _write_until_killed(path: Path, moment_s: float) -> dict[str, str]:
    """Piece id -> the last state that the writer was promised before it was killed."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    time.sleep(moment_s)
    writer.kill()
    lines = writer.communicate()[0].splitlines(keepends=True)
    return {line.split()[1]: line.split()[0] for line in lines if line.endswith("\n")}


async def test_kill_9_at_any_moment_leaves_a_readable_database_that_kept_every_promise(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    promised: dict[str, str] = {}
    kills = 0
    for moment_s in (0.0, 0.013, 0.05, 0.11, *[0.3] * 20):
        if kills >= 4 and len(promised) > 4:  # a busy machine writes little in a tenth of a second
            break
        kills += 1
        promised |= _write_until_killed(path, moment_s)
        with closing(sqlite3.connect(path)) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    async with History(path) as history:
        order = list(State)
        for piece_id, state in promised.items():
            record = await history.get(piece_id)
            assert record is not None
            assert order.index(record.state) >= order.index(State(state))
            assert (record.result == RESULT) or record.state is not State.DELIVERED
        left = await history.abandoned()
        assert len(left) <= kills
        assert len(left) == len(await history.newest(states=[State.QUEUED, State.RUNNING], limit=1000))
    assert len(promised) > 4
