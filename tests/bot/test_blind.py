import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.blind import Duel
from bot.chat import Chat
from bot.errors import Cancelled, LimitReached, NotAllowed, NotFound
from bot.history import State
from bot.listening import Pair, compose_pair, resume_pair
from bot.quota import Limits
from bot.workshop import Update
from engine.errors import EngineClosed, InvalidRequest, RenderFailed, SetupProblem
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, EVE, TERMINAL, House
from tests.bot.test_models import Workbench

SMALL = {"length_notes": 16}


@pytest.fixture
async def bench(house: House) -> Workbench:
    bench = Workbench(house)
    await bench.open()
    return bench


async def pair_of(bench: Workbench, **request: int) -> Pair:
    studio = bench.house.studio
    pair = await compose_pair(studio, ComposeRequest(**(SMALL | request)), ADA, model_id="mine")
    for piece in (pair.left, pair.right):
        await studio.mark_delivered(piece.record.id)
    return pair


def checkpoints(pair: Pair) -> list[str]:
    return [piece.record.result.checkpoint_id for piece in (pair.left, pair.right) if piece.record.result]


async def test_one_request_is_made_by_two_checkpoints_on_sides_drawn_by_lot(bench: Workbench) -> None:
    sides = set()
    for _ in range(12):
        pair = await pair_of(bench)
        assert sorted(checkpoints(pair)) == ["mine", "v1"]
        assert pair.left.record.request == pair.right.record.request
        assert (pair.test.left.id, pair.test.right.id) == (pair.left.record.id, pair.right.record.id)
        assert pair.left.wav.exists()
        assert pair.right.wav.exists()
        sides.add(checkpoints(pair)[0])
    assert sides == {"v1", "mine"}
    assert all(engine.closed for engine in bench.engines[1:])  # what was lent is given back
    assert await bench.current() == ["v1-vvvvvvvv"]


async def test_without_a_name_the_newest_other_checkpoint_is_the_rival(bench: Workbench) -> None:
    await bench.models.promote("mine", ADA)
    (bench.folder / "broken" / "model.json").unlink()
    assert sorted(checkpoints(await compose_pair(bench.house.studio, ComposeRequest(**SMALL), ADA))) == ["mine", "v1"]
    (bench.folder / "v1" / "model.json").unlink()
    with pytest.raises(NotFound, match="only one checkpoint"):
        await compose_pair(bench.house.studio, ComposeRequest(**SMALL), ADA)


async def test_each_person_has_one_vote_and_the_checkpoints_get_an_interval(bench: Workbench) -> None:
    studio = bench.house.studio
    for _ in range(2):
        pair = await pair_of(bench)
        own_side = "left" if checkpoints(pair)[0] == "v1" else "right"
        other_side = "right" if own_side == "left" else "left"
        await studio.blind_tests.vote(pair.test.id, ADA, other_side)  # type: ignore[arg-type]
        for person in (ADA, BEN, EVE):
            test = await studio.blind_tests.vote(pair.test.id, person, own_side)  # type: ignore[arg-type]
        assert test.votes == {own_side: 3, other_side: 0}
        assert await studio.blind_tests.duels() == []  # or the sums would tell whose piece is whose
    bench.house.later(days=1)
    (duel,) = await studio.blind_tests.duels()
    assert duel == Duel("mine", "v1", 0, 6, 0.0, pytest.approx(0.0, abs=1e-9), pytest.approx(0.390334, abs=1e-5))


async def test_the_result_is_shown_by_whoever_asked_or_once_it_is_ripe(bench: Workbench) -> None:
    studio, tests = bench.house.studio, bench.house.studio.blind_tests
    pair = await pair_of(bench)
    assert pair.left.record.private
    with pytest.raises(NotFound):
        await studio.find(pair.left.record.id, BEN)
    with pytest.raises(NotAllowed, match="with 5 votes, or tomorrow"):
        await tests.reveal(pair.test.id, BEN)
    await tests.vote(pair.test.id, BEN, "left")
    assert (await tests.reveal(pair.test.id, ADA)).revealed
    assert not (await studio.find(pair.left.record.id, BEN)).private
    with pytest.raises(NotAllowed, match="nobody votes any more"):
        await tests.vote(pair.test.id, EVE, "right")
    assert sum(duel.first_votes + duel.second_votes for duel in await tests.duels()) == 1

    voted = await pair_of(bench)
    for number in range(5):
        await tests.vote(voted.test.id, BEN.__class__(front_end="discord", user_id=f"9{number}", user_name=""), "left")
    assert (await tests.reveal(voted.test.id, EVE)).revealed
    old = await pair_of(bench)
    bench.house.later(days=1)
    assert (await tests.reveal(old.test.id, EVE)).revealed


async def test_deleting_a_piece_ends_its_test_and_forgetting_takes_votes_along(bench: Workbench) -> None:
    studio = bench.house.studio
    pair = await pair_of(bench)
    await studio.blind_tests.vote(pair.test.id, BEN, "left")
    assert (await studio.privacy.export(BEN))["blind_votes"][0]["choice"] == "left"
    assert (await studio.privacy.kept(BEN)).votes == 1
    await studio.forget(BEN)
    assert (await studio.blind_tests.get(pair.test.id)).votes == {"left": 0, "right": 0}
    await studio.blind_tests.vote(pair.test.id, EVE, "left")
    await studio.delete(pair.left.record.id, ADA)
    with pytest.raises(NotFound):
        await studio.blind_tests.vote(pair.test.id, BEN, "left")
    assert not await bench.house.history.rows("SELECT 1 FROM blind_votes", {})


async def test_a_piece_whose_rival_failed_is_not_left_over(bench: Workbench) -> None:
    bench.engines[0].errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await compose_pair(bench.house.studio, ComposeRequest(**SMALL), ADA, model_id="mine")
    assert [record.state for record in await bench.house.history.newest()] == [State.FAILED]
    assert bench.house.files() == set()


async def test_cancelling_one_piece_cancels_the_test(
    bench: Workbench, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    studio = bench.house.studio
    bench.engines[0].gate.clear()
    making = asyncio.create_task(compose_pair(studio, ComposeRequest(**SMALL), ADA, model_id="mine"))
    await until(lambda: len(bench.engines[0].taken) == 1)
    await studio.cancel(bench.engines[0].taken[0], ADA)
    with pytest.raises(Cancelled):
        await making
    assert {record.state for record in await bench.house.history.newest()} <= {State.CANCELLED, State.RUNNING}
    assert not await bench.house.history.rows("SELECT 1 FROM blind_tests", {})


async def test_progress_is_that_of_the_piece_that_is_behind(
    bench: Workbench, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    told: list[Update] = []
    bench.engines[0].gate.clear()
    request = ComposeRequest(**SMALL)
    making = asyncio.create_task(compose_pair(bench.house.studio, request, ADA, model_id="mine", progress=told.append))
    await until(lambda: any(engine.closed for engine in bench.engines[1:]))
    assert (told[-1].record.id, told[-1].done, told[-1].total) == (request.id, 8, 16)
    bench.engines[0].gate.set()
    await making


async def test_two_pieces_are_two_to_the_limits_and_a_refusal_leaves_nothing(bench: Workbench) -> None:
    studio = await bench.open()
    studio._quota._limits = Limits(user_per_hour=1)
    with pytest.raises(LimitReached):
        await compose_pair(studio, ComposeRequest(**SMALL), ADA, model_id="mine")
    assert await bench.house.history.newest() == []
    assert await bench.house.history.rows("SELECT 1 FROM blind_tests", {}) == []


async def test_a_test_goes_on_after_a_restart_with_the_same_two_checkpoints(
    bench: Workbench, until: Callable[[Callable[[], bool]], Awaitable[None]]
) -> None:
    bench.engines[0].gate.clear()
    making = asyncio.create_task(compose_pair(bench.house.studio, ComposeRequest(**SMALL), ADA, model_id="mine"))
    await until(lambda: any(engine.closed for engine in bench.engines[1:]))  # one piece is made, the other is not
    stopping = asyncio.create_task(bench.house.shut())
    with pytest.raises(EngineClosed):
        await making
    await stopping
    await bench.house.open()
    studio = await bench.open()
    records = await studio.recover("discord")
    assert len(records) == 2
    tests = [await studio.blind_tests.of(record.id) for record in records]
    assert tests[0] == tests[1]
    assert tests[0] is not None
    pair = await resume_pair(studio, tests[0])
    assert sorted(checkpoints(pair)) == ["mine", "v1"]
    assert (pair.test.left.id, pair.test.right.id) == (tests[0].left.id, tests[0].right.id)


async def test_what_cannot_be_compared_is_told(bench: Workbench) -> None:
    studio = bench.house.studio
    with pytest.raises(InvalidRequest, match="is the one in use"):
        await compose_pair(studio, ComposeRequest(), ADA, model_id="v1")
    with pytest.raises(NotFound):
        await compose_pair(studio, ComposeRequest(), ADA, model_id="nothing")
    with pytest.raises(SetupProblem, match="broken"):
        await compose_pair(studio, ComposeRequest(), ADA, model_id="broken")
    studio.models = None
    with pytest.raises(SetupProblem):
        await compose_pair(studio, ComposeRequest(), ADA, model_id="mine")


async def test_the_terminal_gets_two_files_votes_and_is_told_which_was_which(bench: Workbench) -> None:
    out = bench.house.folder / "out"
    chat = Chat(bench.house.studio, TERMINAL, out)
    asked = await chat.answer("/blind length:16 model:mine mood:epic")
    names = sorted(path.name for path in out.iterdir())
    test_id = names[0].split("-")[1]
    assert names == [f"blind-{test_id}-A.ogg", f"blind-{test_id}-B.ogg"]
    assert f"/vote {test_id} A" in asked
    assert "mine" not in asked
    with pytest.raises(InvalidRequest, match="A or B"):
        await chat.answer(f"/vote {test_id} C")
    told = await chat.answer(f"/vote {test_id} b")
    assert "is by mine" in told
    assert "is by v1" in told
    assert "Blind tests: mine" in await chat.answer("/stats")
    assert {record.state for record in await bench.house.history.newest()} == {State.DELIVERED}
