from __future__ import annotations

import pytest

from data.composers import display_names, persons

BACH = [
    "Johann Sebastian Bach",
    "J. S. Bach",
    "J.S. Bach (1685-1750)",
    "Johann Sebastian BACH (1685 - 1750)",
    "BachJS",
    "Joh. Seb. Bach",
    "Jean-Sebastien Bach (1685-1750)",
    "Johann Sebastian Bach, BWV 542",
    "Bach",
]


def test_spellings_of_one_person_have_one_key_and_one_display_name() -> None:
    assert {persons(spelling) for spelling in BACH} == {frozenset({"bach"})}
    assert set(display_names(BACH).values()) == {"Johann Sebastian Bach"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ludvig van Beethoven", "L. van Beethoven"),
        ("Ludwig Van Beethoven", "BeethovenLv"),
        ("Frédéric Chopin (1810 - 1849)", "ChopinFF"),
        ("Felix Mendelssohn", "Felix Mendelssohn-Bartholdy (1809-1847)"),
        ("Mendelssohn-BartholdyF", "Felix Mendelssohn Bartholdy"),
        ("George Frideric Handel (1685-1759)", "Georg Friedrich Händel"),
        ("G. VERDI.", "Giuseppe Verdi"),
        ("Arr: de F. Tárrega", "Francisco Tárrega"),
        ("Петр И. Чайковский", "TchaikovskyPI"),
        ("Николай Римский-Корсаков (1844—1908)", "N. RIMSKY-KORSAKOV (1844-1908)"),
        ('Samuel "Blastfrog" Oliver', 'Korp, originally by Samuel "Blastfrog" Oliver'),
        ("jute", "Korp, remix of dave3d42.mid by jute"),
        ('Kevin "Velvetic" Martins', 'Kevin "Velvetic" Martins & Jonathan "julnen" Martins'),
        ("J.Astartes", "J.Astartes and Mr795"),
        ('Julian "Julian Hope" Aubourg, modified by m', "m"),
    ],
)
def test_credits_that_share_a_person_share_a_key(one: str, other: str) -> None:
    assert persons(one) & persons(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Johann Sebastian Bach", "Wolfgang Amadeus Mozart"), ("Korp", "jute"), ('Tyler "Picklehammer" P.', "P. Dukas")],
)
def test_different_persons_share_nothing(one: str, other: str) -> None:
    assert not persons(one) & persons(other)


@pytest.mark.parametrize("credit", ["", "Anonymous", "Traditional", "Finnish folk song", "unknown", "Anon.", "trad."])
def test_nobody_is_no_person(credit: str) -> None:
    assert persons(credit) == frozenset()
    assert display_names([credit]) == {credit: "Anonymous"}


def test_the_projects_own_composer_is_a_program_and_no_person() -> None:
    assert persons("MusicLSTM composer") == frozenset()
    assert display_names(["MusicLSTM composer"]) == {"MusicLSTM composer": "MusicLSTM composer"}


def test_works_are_no_persons() -> None:
    assert persons("Korp, remix of dave3d42.mid by jute") == {"korp", "jute"}


def test_a_credit_that_runs_into_the_title_is_found() -> None:
    found = persons('Joshua "wastedjamacan" Masek', 'Geoff\'s Vinyl Collection" by MoonDeLaAxel, remix of "Why?')
    assert found == {"wastedjamacan", "masek", "moondelaaxel"}


def test_several_persons_are_joined() -> None:
    names = display_names(["J.Astartes and Mr795"])
    assert names == {"J.Astartes and Mr795": "J. Astartes & Mr795"}
