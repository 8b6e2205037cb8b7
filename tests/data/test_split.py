from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.composers import persons
from data.corpus import Piece, corpus_hash
from data.moods import Mood
from data.score import Note, Part, Score
from data.split import Split, split_by_composer


def piece(number: int, composer: str, *, title: str = "", source: str = "here", notes: int = 10) -> Piece:
    return Piece(
        sha256=f"{number:064x}",
        title=title or f"Piece {number}",
        composer=composer,
        source=source,
        licence="CC0-1.0",
        credit="",
        mood=Mood.DARK,
        score=Score(tuple(Note(12 * step, Part.KEYS, 60, 12, 64) for step in range(notes)), 60),
    )


CREDITS = ["Korp", "Korp & jute", "jute & Mr795", "J. S. Bach", "BachJS", "Satie", "Verdi", "Anonymous", "", "Dowland"]
corpora = st.lists(
    st.tuples(st.sampled_from(CREDITS), st.sampled_from(["a", "b"]), st.integers(1, 40)), min_size=1, max_size=60
).map(lambda rows: [piece(i, who, source=source, notes=notes) for i, (who, source, notes) in enumerate(rows)])


def sides(split: Split) -> list[list[Piece]]:
    return [split.train, split.valid, split.test]


@settings(max_examples=100, deadline=None)
@given(corpora, st.integers(0, 5))
def test_every_piece_is_on_one_side_and_every_person_too(pieces: list[Piece], seed: int) -> None:
    split = split_by_composer(pieces, seed=seed)
    assert sorted(p.sha256 for side in sides(split) for p in side) == [p.sha256 for p in pieces]
    assert split.train
    if split.by_title:  # of one person's music, or two people's
        titles = [{(p.source, p.title) for p in side} for side in sides(split)]
        assert all(titles)
        assert not titles[0] & titles[1] | titles[0] & titles[2] | titles[1] & titles[2]
        return
    found = [{key for p in side for key in persons(p.composer, p.title)} for side in sides(split)]
    assert not found[0] & found[1]
    assert not found[0] & found[2]
    assert not found[1] & found[2]


@settings(max_examples=30, deadline=None)
@given(corpora, st.randoms(use_true_random=False))
def test_the_order_of_the_pieces_does_not_matter(pieces: list[Piece], random_: random.Random) -> None:
    split = split_by_composer(pieces)
    shuffled = pieces[:]
    random_.shuffle(shuffled)
    again = split_by_composer(shuffled)
    for one, other in zip(sides(split), sides(again), strict=True):
        assert {p.sha256 for p in one} == {p.sha256 for p in other}


def many(count: int, source: str = "here") -> list[Piece]:
    return [piece(i, f"Composer Number{chr(97 + i // 26)}{chr(97 + i % 26)}", source=source) for i in range(count)]


def test_shares_are_kept_where_composers_are_many() -> None:
    split = split_by_composer(many(200), valid_share=0.1, test_share=0.2)
    assert (len(split.train), len(split.valid), len(split.test)) == (140, 20, 40)


def test_another_seed_gives_another_split() -> None:
    pieces = many(100)
    one, other = split_by_composer(pieces, seed=1), split_by_composer(pieces, seed=2)
    assert [p.sha256 for p in one.test] != [p.sha256 for p in other.test]


def test_valid_and_test_hold_each_source_that_has_composers_to_spare() -> None:
    pieces = [
        *many(60, "big"),
        *(piece(1000 + i, who, source="small") for i, who in enumerate(["Ann Ask", "Bob Bee", "Cy Cox"])),
        *(piece(2000 + i, "Only One", source="solo") for i in range(20)),
    ]
    split = split_by_composer(pieces)
    assert {p.source for p in split.valid} == {p.source for p in split.test} == {"big", "small"}
    assert sum(p.source == "solo" for p in split.train) == 20


def test_music_by_nobody_is_kept_together_by_title_only() -> None:
    pieces = [piece(i, "Anonymous", title=f"Song {i // 2}") for i in range(100)]
    split = split_by_composer(pieces)
    titles = [{p.title for p in side} for side in sides(split)]
    assert all(titles)
    assert not titles[0] & titles[1]
    assert not titles[0] & titles[2]


def test_people_with_a_source_each_are_dealt_as_one() -> None:
    split = split_by_composer([piece(i, f"Person {'ABC'[i % 3]}", source=f"folder {i % 3}") for i in range(12)])
    assert not split.by_title
    assert all({p.composer for p in side} for side in sides(split))
    assert len({p.composer for side in sides(split) for p in side[:1]}) == 3


@pytest.mark.parametrize("people", [["Only Me"], ["Only Me", "And You"]])
def test_the_music_of_one_or_two_people_is_divided_by_title(people: list[str]) -> None:
    pieces = [piece(i, people[i % len(people)]) for i in range(12)]
    split = split_by_composer(pieces)
    assert split.by_title
    assert all(sides(split))
    assert len(split.train) >= 8
    assert [p.sha256 for p in split_by_composer(pieces[::-1]).valid] == [p.sha256 for p in split.valid][::-1]
    assert not split_by_composer(many(50)).by_title
    assert not split_by_composer(pieces[:2]).by_title  # nothing helps: two titles


def test_adding_pieces_leaves_most_composers_where_they_were() -> None:
    before = split_by_composer(many(200))
    after = split_by_composer([*many(200), *(piece(5000 + i, f"New Person{chr(97 + i)}") for i in range(10))])
    held_out = {p.sha256 for p in (*before.valid, *before.test)}
    assert sum(p.sha256 in held_out for p in after.train) <= 0.15 * len(held_out)


def test_the_corpus_hash_names_the_music_and_its_moods() -> None:
    pieces = many(5)
    assert corpus_hash(pieces) == corpus_hash(pieces[::-1])
    assert corpus_hash(pieces) != corpus_hash(pieces[:4])


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.0, 0.1)])
def test_a_share_of_nothing_is_an_empty_side(shares: tuple[float, float]) -> None:
    split = split_by_composer(many(50), valid_share=shares[0], test_share=shares[1])
    assert split.valid == []
    assert bool(split.test) == bool(shares[1])
