import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.errors import NotFound
from bot.models import Models, promoted
from bot.quota import Limits
from bot.studio import Studio
from bot.swap import SwappableEngine
from engine.errors import CheckpointProblem, EngineClosed, InvalidRequest, StorageProblem
from engine.types import ComposeRequest, Engine
from tests.bot.conftest import ADA, House
from tests.bot.small_engine import SmallEngine

Until = Callable[[Callable[[], bool]], Awaitable[None]]


class Workbench:
    """Three checkpoints on disk, one of them broken, and a studio whose engine can be swapped."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.folder = house.folder / "checkpoints"
        for name, nats in (("v1", 4.5), ("mine", 4.2), ("broken", 1.0)):
            (self.folder / name).mkdir(parents=True)
            says = {"name": name, "weights_sha256": name[0] * 64, "date": "2026-01-02", "corpus": {"hash": "abc"}}
            says["date"] = "2026-01-03" if name == "mine" else says["date"]
            metrics = {"valid_nats_per_note": nats, "baselines": {"5-gram": 5.0}}
            (self.folder / name / "model.json").write_text(json.dumps(says | {"metrics": metrics}))
        (self.folder / "junk").mkdir()
        (self.folder / "junk" / "model.json").write_text("[1, 2")
        self.engines: list[SmallEngine] = []

    async def load(self, folder: Path) -> Engine:
        if folder.name == "broken":
            raise CheckpointProblem("It is broken.")
        engine = SmallEngine(self.house.folder / "engine")
        engine.checkpoint_id = folder.name
        self.engines.append(engine)
        return engine

    async def open(self) -> Studio:
        default = self.folder / "v1"
        current = await promoted(self.house.history) or default
        engine = SwappableEngine(await self.load(current))
        models = Models(self.house.history, engine, self.load, folders=[self.folder], default=default, current=current)
        self.models = models
        self.house.studio = Studio(
            engine, self.house.history, pieces_dir=self.house.pieces_dir, limits=Limits(), models=models
        )
        return self.house.studio

    async def current(self) -> list[str]:
        return [model.id for model in await self.models.all() if model.current]


@pytest.fixture
async def bench(house: House) -> Workbench:
    bench = Workbench(house)
    await bench.open()
    return bench


async def _checkpoint_of_next(bench: Workbench) -> str:
    piece = await bench.house.studio.compose(ComposeRequest(length_notes=16), ADA)
    assert piece.record.result is not None
    return piece.record.result.checkpoint_id


async def test_the_list_shows_what_each_checkpoint_says_of_itself(bench: Workbench) -> None:
    models = {model.id: model for model in await bench.models.all()}
    assert list(models) == ["mine-mmmmmmmm", "v1-vvvvvvvv", "broken-bbbbbbbb"]  # the newest first
    assert models["v1-vvvvvvvv"].current
    mine = models["mine-mmmmmmmm"]
    assert (mine.valid_nats_per_note, mine.card.corpus_hash) == (4.2, "abc")


async def test_promotion_changes_the_next_piece_and_survives_a_restart(bench: Workbench) -> None:
    assert await _checkpoint_of_next(bench) == "v1"
    promoted_model = await bench.models.promote("mine", ADA)
    assert promoted_model.id == "mine-mmmmmmmm"
    assert await bench.current() == ["mine-mmmmmmmm"]
    assert await _checkpoint_of_next(bench) == "mine"
    await bench.house.studio.aclose()
    await bench.open()
    assert await _checkpoint_of_next(bench) == "mine"
    assert [(entry.action, entry.details) for entry in await bench.house.studio.servers.audit(None)] == [
        ("promote", "mine-mmmmmmmm")
    ]


async def test_rollback_goes_back_to_the_one_before(bench: Workbench) -> None:
    with pytest.raises(InvalidRequest, match="No checkpoint was promoted yet"):
        await bench.models.rollback(ADA)
    await bench.models.promote("mine", ADA)
    assert (await bench.models.rollback(ADA)).id == "v1-vvvvvvvv"
    assert await _checkpoint_of_next(bench) == "v1"
    assert (await bench.models.rollback(ADA)).id == "mine-mmmmmmmm"  # which was in use before this one


async def test_promotions_take_effect_in_the_order_in_which_they_were_asked_for(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def load(folder: Path) -> Engine:
        await asyncio.sleep(0.02 if folder.name == "mine" else 0.0)
        return await bench.load(folder)

    monkeypatch.setattr(bench.models, "_open_engine", load)
    first = asyncio.create_task(bench.models.promote("mine", ADA))
    await asyncio.sleep(0.005)  # it is looked up in a thread
    await asyncio.gather(first, bench.models.promote("v1", ADA))
    assert await bench.current() == ["v1-vvvvvvvv"]
    assert await promoted(bench.house.history) == (bench.folder / "v1").resolve()


async def test_engines_are_lent_one_at_a_time_and_closed_again(bench: Workbench) -> None:
    rival = await bench.models.rival()

    async def borrow() -> None:
        async with bench.models.lend(rival):
            assert [engine.closed for engine in bench.engines].count(False) == 2  # this one and the one in use
            await asyncio.sleep(0.005)

    await asyncio.gather(borrow(), borrow())
    assert [engine.closed for engine in bench.engines] == [False, True, True]


async def test_promoting_the_one_in_use_again_loses_no_way_back(bench: Workbench) -> None:
    for _ in range(2):
        await bench.models.promote("mine", ADA)
    assert (await bench.models.rollback(ADA)).id == "v1-vvvvvvvv"
    assert await bench.current() == ["v1-vvvvvvvv"]


async def test_a_checkpoint_that_cannot_be_loaded_changes_nothing(bench: Workbench) -> None:
    with pytest.raises(CheckpointProblem):
        await bench.models.promote("broken", ADA)
    with pytest.raises(NotFound, match=r"did you mean mine-mmmmmmmm\?"):
        await bench.models.promote("mime", ADA)
    assert await bench.current() == ["v1-vvvvvvvv"]
    assert await _checkpoint_of_next(bench) == "v1"
    assert await bench.house.studio.servers.audit(None) == []


async def test_an_engine_that_is_opened_for_nobody_any_more_is_closed(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading, may_go_on = asyncio.Event(), asyncio.Event()

    async def slowly(folder: Path) -> Engine:
        loading.set()
        await may_go_on.wait()
        return await bench.load(folder)

    async def borrow() -> None:
        async with bench.models.lend(await bench.models.find("mine")):
            pass

    monkeypatch.setattr(bench.models, "_open_small", slowly)
    borrowing = asyncio.create_task(borrow())
    await loading.wait()
    for _ in range(2):
        borrowing.cancel()
        await asyncio.sleep(0)
    may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await borrowing
    assert [engine.closed for engine in bench.engines] == [False, True]


async def test_a_promotion_that_cannot_be_written_down_leaves_no_engine_behind(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full() -> None:
        raise StorageProblem("The disk is full.")

    monkeypatch.setattr(bench.models, "_note_current", full)
    with pytest.raises(StorageProblem):
        await bench.models.promote("mine", ADA)
    assert await bench.current() == ["v1-vvvvvvvv"]
    assert [engine.closed for engine in bench.engines] == [False, True]


async def test_a_promoted_checkpoint_that_is_gone_falls_back_to_the_default(bench: Workbench) -> None:
    await bench.models.promote("mine", ADA)
    (bench.folder / "mine" / "model.json").unlink()
    assert await promoted(bench.house.history) is None


async def test_a_swap_loses_no_piece(bench: Workbench, until: Until) -> None:
    first = bench.engines[0]
    assert await _checkpoint_of_next(bench) == "v1"
    first.gate.clear()
    making = asyncio.create_task(_checkpoint_of_next(bench))
    await until(lambda: len(first.taken) == 2)
    await bench.models.promote("mine", ADA)
    assert await _checkpoint_of_next(bench) == "mine"
    assert not first.closed
    first.gate.set()
    assert await making == "v1"
    await until(lambda: first.closed)


async def test_closing_closes_every_engine(bench: Workbench, until: Until) -> None:
    first = bench.engines[0]
    first.gate.clear()
    making = asyncio.create_task(_checkpoint_of_next(bench))
    await until(lambda: len(first.taken) == 1)
    await bench.models.promote("mine", ADA)
    await bench.house.studio.aclose()
    with pytest.raises(EngineClosed):
        await making
    assert all(engine.closed for engine in bench.engines)
    with pytest.raises(EngineClosed):
        await bench.models.promote("v1", ADA)
    assert all(engine.closed for engine in bench.engines)


async def test_closing_waits_for_no_piece_of_an_earlier_engine(tmp_path: Path, until: Until) -> None:
    first, second = SmallEngine(tmp_path), SmallEngine(tmp_path)
    first.gate.clear()
    engine = SwappableEngine(first)
    making = asyncio.create_task(engine.compose(ComposeRequest()))
    await until(lambda: len(first.taken) == 1)
    await engine.swap(second)
    async with asyncio.timeout(5):
        await engine.aclose()
    assert (first.closed, second.closed, making.done()) == (True, True, False)
    first.gate.set()
    await making


@pytest.mark.parametrize("meanwhile_s", [0.0, 0.02])
async def test_an_engine_that_is_just_being_replaced_is_closed_to_the_end(tmp_path: Path, meanwhile_s: float) -> None:
    class Slow(SmallEngine):
        async def aclose(self) -> None:
            await asyncio.sleep(0.05)
            self.closed = True

    first, second = Slow(tmp_path), Slow(tmp_path)
    engine = SwappableEngine(first)
    await engine.swap(second)
    if meanwhile_s:
        await asyncio.sleep(meanwhile_s)  # the first is being closed by now
    await engine.aclose()
    assert (first.closed, second.closed) == (True, True)


async def test_what_the_settings_chose_can_be_gone_back_to_as_well(bench: Workbench) -> None:
    await bench.models.promote("mine", ADA)
    bench.models._current, bench.models.pinned = bench.folder / "v1", True  # as a start with MUSICLSTM_CHECKPOINT
    await bench.models.promote("mine", ADA)
    assert (await bench.models.rollback(ADA)).id == "v1-vvvvvvvv"


async def test_rolling_back_what_the_settings_chose_goes_to_the_one_promoted_before(bench: Workbench) -> None:
    await bench.models.promote("mine", ADA)
    bench.models._current, bench.models.pinned = bench.folder / "v1", True
    assert (await bench.models.rollback(ADA)).id == "mine-mmmmmmmm"


async def test_promoting_what_the_settings_chose_outlives_them(bench: Workbench) -> None:
    await bench.models.promote("mine", ADA)
    bench.models._current, bench.models.pinned = bench.folder / "v1", True
    await bench.models.promote("v1", ADA)
    assert await promoted(bench.house.history) == (bench.folder / "v1").resolve()


async def test_a_name_of_several_checkpoints_is_not_guessed(bench: Workbench) -> None:
    says = {"name": "mine", "weights_sha256": "n" * 64, "date": "2026-01-03"}
    (bench.folder / "other").mkdir()
    (bench.folder / "other" / "model.json").write_text(json.dumps(says))
    with pytest.raises(NotFound, match="several checkpoints 'mine'"):
        await bench.models.find("mine")
    assert (await bench.models.find("mine-nnnnnnnn")).folder.name == "other"
