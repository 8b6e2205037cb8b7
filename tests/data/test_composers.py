from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


NAMES = ["J.S. Bach", "D. Scarlatti", "Franz Schubert", "C.P.E. Bach", "W. A. Mozart", "Korp", "Édith Piaf", "久石譲"]
WORKS = [
    "BWV 1007", "BWV1007a", "BWV 846-869",
    "L.366", "Z. 860", "B 178", "S.541", "K. 331", "KV 331", "Kk. 87", "D. 960", "Op. 27 No. 2", "opus 9",
    "op.27", "HWV 56", "RV 580", "Hob. XVI:37", "Hob.I:94", "WoO 59", "TWV 40:2", "BuxWV 149", "No. 5", "Nr. 5", "no.5",
    "1685-1757", "1685 \u2013 1750", "1828", "1960-", "1960\u2013", "c. 1637", "ca. 1637-1707", "BWV 1007 1720",
]  # fmt: skip


@given(st.sampled_from(NAMES), st.sampled_from(WORKS), st.sampled_from([" ", ", ", "  ", "; "]))
def test_a_work_number_or_years_behind_a_name_change_nobody(name: str, work: str, between: str) -> None:
    credit = name + between + work
    assert persons(credit) == persons(name)
    assert display_names([credit])[credit] == display_names([name])[name]


@pytest.mark.parametrize(("credit", "name"), [("Mozart K331", "Mozart"), ("Schubert D960", "Schubert")])
def test_a_number_of_a_one_letter_catalogue_is_cut_behind_a_name(credit: str, name: str) -> None:
    assert persons(credit) == persons(name)


@pytest.mark.parametrize(
    "credit", ["BWV 1007", "K. 331", "D. 960", "No. 5", "Op. 27 No. 2", "1685-1757", "1828", "c. 1637"]
)
def test_a_work_number_or_years_alone_are_nobody(credit: str) -> None:
    assert persons(credit) == frozenset()


@pytest.mark.parametrize(
    "name", ["Mr795", "K9", "dave3d42", "2Pac", "Blink 182", "Haken 2112", "Cristóbal D", "Ann No"]
)
def test_a_name_with_digits_stays_whole(name: str) -> None:
    assert display_names([name]) == {name: name}
    assert persons(name)
