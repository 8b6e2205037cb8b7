from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.batching.scheduler import QUANTUM_NOTES, FairQueue, Priority
from engine.types import LENGTH_NOTES_MIN

Asked = tuple[str, str, int, int]  # server, person, notes, number


def queue_of(asked: list[Asked]) -> FairQueue[Asked]:
    queue: FairQueue[Asked] = FairQueue()
    for piece in asked:
        queue.put(piece, server=piece[0], person=piece[1], notes=piece[2])
    return queue


some_pieces = st.lists(
    st.tuples(st.sampled_from("AB"), st.sampled_from("xyz"), st.integers(16, 2000)), max_size=40
).map(lambda rows: [(*row, number) for number, row in enumerate(rows)])


@given(asked=some_pieces)
def test_everything_that_waits_is_taken_once_and_of_one_person_in_order(asked: list[Asked]) -> None:
    queue = queue_of(asked)
    foretold = list(queue)
    taken = [queue.take() for _ in range(len(queue))]
    assert taken == foretold
    assert sorted(taken, key=lambda piece: piece[3]) == asked
    for who in {piece[:2] for piece in asked}:
        numbers = [piece[3] for piece in taken if piece[:2] == who]
        assert numbers == sorted(numbers)


@given(asked=some_pieces, data=st.data())
def test_what_is_no_longer_wanted_is_not_taken(asked: list[Asked], data: st.DataObject) -> None:
    queue = queue_of(asked)
    gone = data.draw(st.sets(st.sampled_from(asked))) if asked else set()
    for piece in gone:
        queue.discard(piece)
        queue.discard(piece)
    assert len(queue) == len(asked) - len(gone)
    assert {queue.take() for _ in range(len(queue))} == set(asked) - gone


def test_nobody_takes_two_of_the_shortest_in_one_turn() -> None:
    asked = [(server, "x", QUANTUM_NOTES, number) for server in "AB" for number in range(3)]
    assert QUANTUM_NOTES == LENGTH_NOTES_MIN
    assert [piece[0] for piece in queue_of(asked)] == list("ABABAB")


def test_of_equal_pieces_the_one_that_is_meant_is_no_longer_wanted() -> None:
    queue: FairQueue[list[int]] = FairQueue()
    first, second = [0], [0]
    for piece in (first, second):
        queue.put(piece, notes=16)
    queue.discard(second)
    assert queue.take() is first


def test_a_hundred_wishes_of_one_person_delay_anothers_first_by_one_piece() -> None:
    queue = queue_of([("A", "greedy", 200, number) for number in range(100)])
    queue.take()
    queue.put(("A", "modest", 200, 100), server="A", person="modest", notes=200)
    assert [piece[1] for piece in queue][:2].count("modest") == 1


def test_a_server_with_many_people_gets_no_more_than_one_with_a_single_person() -> None:
    asked = [("crowd", str(person), 200, number) for number in range(10) for person in range(10)]
    asked += [("lonely", "x", 200, 200 + number) for number in range(10)]
    first = list(queue_of(asked))[:20]
    assert sum(piece[0] == "lonely" for piece in first) == pytest.approx(10, abs=1)


@given(lengths=st.lists(st.integers(16, 2000), min_size=60, max_size=60))
def test_notes_not_pieces_are_shared(lengths: list[int]) -> None:
    """At any moment two people who both wait have had the same, but for one long piece and one quantum."""
    asked = [("A", "x", 2000, number) for number in range(30)]
    asked += [("A", "y", notes, 100 + number) for number, notes in enumerate(lengths)]
    had = {"x": 0, "y": 0}
    waiting = {"x": 30, "y": 60}
    for piece in queue_of(asked):
        if not all(waiting.values()):
            break
        had[piece[1]] += piece[2]
        waiting[piece[1]] -= 1
        assert abs(had["x"] - had["y"]) <= 2000 + QUANTUM_NOTES


def test_the_background_waits_for_people() -> None:
    queue = queue_of([])
    queue.put(("A", "x", 16, 1), server="A", person="x", notes=16, priority=Priority.BACKGROUND)
    queue.put(("A", "x", 2000, 2), server="A", person="x", notes=2000)
    assert [piece[3] for piece in queue] == [2, 1]


def test_nothing_can_be_taken_from_an_empty_queue() -> None:
    with pytest.raises(IndexError):
        queue_of([]).take()
