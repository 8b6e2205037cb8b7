import pytest

from bot.blind import Duel
from bot.errors import NotFound
from bot.history import State
from engine.errors import InvalidRequest, RenderFailed, SetupProblem
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, EVE, House
from tests.bot.test_models import Workbench


@pytest.fixture
async def bench(house: House) -> Workbench:
    bench = Workbench(house)
    await bench.open()
    return bench


async def test_one_request_is_made_by_two_checkpoints_on_sides_drawn_by_lot(bench: Workbench) -> None:
    studio = bench.house.studio
    sides = set()
    for _ in range(12):
        request = ComposeRequest(length_notes=16)
        test, left, right = await studio.blind(request, ADA, "mine")
        results = [piece.record.result for piece in (left, right)]
        assert {result.checkpoint_id for result in results if result} == {"v1", "mine"}
        assert left.record.request == right.record.request == request
        assert (test.left, test.right) == (left.record, right.record)
        assert left.wav.exists()
        assert right.wav.exists()
        sides.add(results[0].checkpoint_id if results[0] else "")
    assert sides == {"v1", "mine"}
    assert all(engine.closed for engine in bench.engines[1:])  # what was lent is given back
    assert await bench.current() == ["v1-vvvvvvvv"]


async def test_each_person_has_one_vote_and_the_checkpoints_get_an_interval(bench: Workbench) -> None:
    studio = bench.house.studio
    for _ in range(2):
        test, left, _ = await studio.blind(ComposeRequest(length_notes=16), ADA, "mine")
        own_side = "left" if left.record.result and left.record.result.checkpoint_id == "v1" else "right"
        other_side = "right" if own_side == "left" else "left"
        await studio.blind_tests.vote(test.id, ADA, other_side)  # type: ignore[arg-type]
        for person in (ADA, BEN, EVE):
            test = await studio.blind_tests.vote(test.id, person, own_side)  # type: ignore[arg-type]
        assert test.votes == {own_side: 3, other_side: 0}
    (duel,) = await studio.blind_tests.duels()
    assert (duel.first, duel.first_votes, duel.second, duel.second_votes) == ("mine", 0, "v1", 6)
    assert duel == Duel("mine", "v1", 0, 6, 0.0, pytest.approx(0.0, abs=1e-9), pytest.approx(0.390334, abs=1e-5))


async def test_deleting_a_piece_ends_its_test_and_forgetting_takes_votes_along(bench: Workbench) -> None:
    studio = bench.house.studio
    test, left, _ = await studio.blind(ComposeRequest(length_notes=16), ADA, "mine")
    await studio.blind_tests.vote(test.id, BEN, "left")
    assert (await studio.privacy.export(BEN))["blind_votes"][0]["choice"] == "left"
    await studio.forget(BEN)
    assert (await studio.blind_tests.get(test.id)).votes == {"left": 0, "right": 0}
    await studio.delete(left.record.id, ADA)
    with pytest.raises(NotFound):
        await studio.blind_tests.vote(test.id, BEN, "left")


async def test_a_piece_whose_rival_failed_is_not_left_over(bench: Workbench) -> None:
    bench.engines[0].errors.append(RenderFailed("No sound."))
    with pytest.raises(RenderFailed):
        await bench.house.studio.blind(ComposeRequest(), ADA, "mine")
    assert [record.state for record in await bench.house.history.newest()] == [State.FAILED]
    assert bench.house.files() == set()


async def test_what_cannot_be_compared_is_told(bench: Workbench) -> None:
    studio = bench.house.studio
    with pytest.raises(InvalidRequest, match="is the one in use"):
        await studio.blind(ComposeRequest(), ADA, "v1")
    with pytest.raises(NotFound):
        await studio.blind(ComposeRequest(), ADA, "nothing")
    with pytest.raises(SetupProblem, match="broken"):
        await studio.blind(ComposeRequest(), ADA, "broken")
    studio.models = None
    with pytest.raises(SetupProblem):
        await studio.blind(ComposeRequest(), ADA, "mine")
