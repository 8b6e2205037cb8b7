import asyncio
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.turns import Pace, Turns


class Crowd:
    """Pieces that hold their turn until their gate is opened."""

    def __init__(self, slots: int = 1) -> None:
        self.turns = Turns(slots, Pace())
        self.served: list[str] = []
        self.places: dict[str, list[int]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    def ask(self, name: str, *, group: str = "server", notes: int = 100) -> asyncio.Task[None]:
        return asyncio.create_task(self._piece(name, group, notes))

    async def _piece(self, name: str, group: str, notes: int) -> None:
        gate = self.gates.setdefault(name, asyncio.Event())
        places = self.places.setdefault(name, [])
        ticket = self.turns.enter(
            person=name.rstrip("0123456789"), group=group, notes=notes, on_place=lambda ahead, _: places.append(ahead)
        )
        try:
            await ticket.turn
            self.served.append(name)
            await gate.wait()
        finally:
            self.turns.leave(ticket)
            self.turns.leave(ticket)

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def finish_all(self, *tasks: asyncio.Task[None]) -> None:
        for gate in self.gates.values():
            gate.set()
        await asyncio.gather(*tasks)


async def test_one_with_many_wishes_does_not_make_another_wait_for_all_of_them() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(f"ada{i}") for i in range(10)]
    await crowd.settle()
    tasks += [crowd.ask(f"ben{i}") for i in range(2)]
    await crowd.settle()
    await crowd.finish_all(*tasks)
    assert crowd.served[:6] == ["ada0", "ben0", "ada1", "ben1", "ada2", "ada3"]


async def test_servers_share_alike_however_many_people_they_have() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(f"{'abcdefgh'[i]}0", group="large") for i in range(8)]
    tasks += [crowd.ask(f"zoe{i}", group="small") for i in range(4)]
    await crowd.settle()
    await crowd.finish_all(*tasks)
    assert sum(name.startswith("zoe") for name in crowd.served[:8]) >= 3


async def test_long_pieces_cost_more_than_short_ones() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(f"long{i}", notes=1000) for i in range(3)]
    tasks += [crowd.ask(f"short{i}", notes=100) for i in range(10)]
    await crowd.settle()
    await crowd.finish_all(*tasks)
    assert crowd.served[:12].count("long1") == 1
    assert crowd.served.index("long1") > crowd.served.index("short8")


async def test_asking_one_at_a_time_wins_nothing_over_asking_at_once() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(f"ben{i}") for i in range(6)]
    await crowd.settle()
    for i in range(5):
        tasks.append(crowd.ask(f"ada{i}"))
        await crowd.settle()
        crowd.gates[crowd.served[-1]].set()
        await crowd.settle()
    await crowd.finish_all(*tasks)
    early = crowd.served[:6]
    assert 2 <= sum(name.startswith("ben") for name in early) <= 4


async def test_everyone_is_told_the_place_once_and_again_when_it_changes() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(name) for name in ("ada0", "ben0", "cleo0")]
    await crowd.settle()
    assert crowd.places == {"ada0": [], "ben0": [0], "cleo0": [1]}
    crowd.gates["ada0"].set()
    await crowd.settle()
    assert crowd.places == {"ada0": [], "ben0": [0], "cleo0": [1, 0]}
    await crowd.finish_all(*tasks)


async def test_leaving_the_queue_moves_the_others_up() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(name) for name in ("ada0", "ben0", "cleo0")]
    await crowd.settle()
    tasks[1].cancel()
    await crowd.settle()
    assert crowd.places["cleo0"] == [1, 0]
    await crowd.finish_all(tasks[0], tasks[2])
    assert crowd.served == ["ada0", "cleo0"]
    assert crowd.turns.waiting == 0
    assert crowd.turns.count() == 0


async def test_a_turn_given_to_one_who_leaves_that_moment_goes_to_the_next() -> None:
    crowd = Crowd()
    tasks = [crowd.ask(name) for name in ("ada0", "ben0", "cleo0")]
    await crowd.settle()
    tasks[1].cancel()
    crowd.gates["ada0"].set()
    await crowd.settle()
    assert crowd.served == ["ada0", "cleo0"]
    await crowd.finish_all(tasks[0], tasks[2])


async def test_estimates_follow_the_measured_pace() -> None:
    pace = Pace()
    assert pace.estimate_s(100) is None
    pace.observe(100, 10.0)
    assert pace.estimate_s(200) == pytest.approx(20.0)
    for _ in range(40):
        pace.observe(100, 5.0)
    assert pace.estimate_s(100) == pytest.approx(5.0, rel=0.01)
    turns = Turns(2, pace)
    assert turns.wait_s(100) == pytest.approx(5.0, rel=0.01)


async def test_those_who_wait_learn_how_long_the_piece_before_them_takes_after_all() -> None:
    turns = Turns(1, Pace())
    turns.learn(100, 1.0)
    told: list[float | None] = []

    async def told_next() -> float:
        await asyncio.sleep(0.01)
        return told[-1] or 0.0

    before = turns.enter(person="ada", group="", notes=100, on_place=lambda *_: None)
    turns.enter(person="ben", group="", notes=100, on_place=lambda _, done_s: told.append(done_s))
    assert await told_next() == pytest.approx(2.0, abs=0.1)
    turns.expect(before, 60.0)
    assert await told_next() == pytest.approx(61.0, abs=0.1)
    assert len(told) == 2
    turns.expect(before, 60.5)  # no news
    await asyncio.sleep(0.01)
    assert len(told) == 2
    turns.expect(before, 5.0)
    assert await told_next() == pytest.approx(6.0, abs=0.1)
    assert turns.wait_s(0) == pytest.approx(6.0, abs=0.2)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abcd"), st.integers(16, 60)), max_size=30),
    st.integers(1, 20),
)
def test_the_places_that_people_are_told_are_the_order_in_which_they_go(
    wishes: list[tuple[str, str, int]], taken: int
) -> None:
    async def play() -> None:
        turns = Turns(1, Pace())
        tickets = [
            turns.enter(person=person, group=group, notes=notes, on_place=lambda *_: None)
            for group, person, notes in wishes
        ]
        for _ in range(min(taken, len(tickets))):
            running = next(ticket for ticket in tickets if ticket.turn.done())
            waiting = sorted((ticket for ticket in tickets if not ticket.turn.done()), key=turns.place)
            turns.leave(running)
            tickets.remove(running)
            assert [ticket for ticket in tickets if ticket.turn.done()] == waiting[:1]

    asyncio.run(play())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 4))
def test_whatever_comes_and_goes_nobody_is_lost_and_slots_are_kept(seed: int, slots: int) -> None:
    async def play() -> None:
        rng = random.Random(seed)
        crowd = Crowd(slots)
        tasks: dict[str, asyncio.Task[None]] = {}
        for i in range(40):
            name = f"{rng.choice('abc')}{i}"
            tasks[name] = crowd.ask(name, group=rng.choice("xy"), notes=rng.randint(16, 2000))
            if rng.random() < 0.3:
                rng.choice(list(tasks.values())).cancel()
            if rng.random() < 0.5 and crowd.served:
                crowd.gates[rng.choice(crowd.served)].set()
            if rng.random() < 0.7:
                await crowd.settle()
            assert crowd.turns.count() - crowd.turns.waiting <= slots
        for name in tasks:
            crowd.gates.setdefault(name, asyncio.Event()).set()
        done = await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
        finished = {name for name, result in zip(tasks, done, strict=True) if result is None}
        assert finished <= set(crowd.served)
        assert crowd.turns.count() == 0

    asyncio.run(play())
