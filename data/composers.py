"""Who made a piece: credit lines as people write them -> persons, so that a split by composer separates persons.

The same person appears as "J. S. Bach", "Johann Sebastian BACH (1685 - 1750)" and "BachJS"; a piece may have several
(`Korp, remix of dave3d42.mid by jute`). Grouping goes by surname and nickname alone. That may put two persons of one
name together, which costs a split nothing; taking one person for two would put their music on both of its sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable

_BRACKETS = re.compile(r"\([^)]*\)|\[[^\]]*\]")
_NICKNAME = re.compile(r"[\"“”«»]([^\"“”«»]+)[\"“”«»]")
# What stands between two persons, or between a person and what was done to the music.
_BETWEEN = re.compile(
    r"\s*(?:[,;/&+]|\b(?:and|und|et|with|feat\.?|ft\.?|by|after|arr\.|arr\b:?|arranged|ed\.|edited|transcribed)(?=\s|$))\s*",
    re.IGNORECASE,
)
# "BWV 1007", "op.27", "Hob. XVI:37"; the catalogues of one letter, "L. 366" and "K331", stand apart: K9 is a nickname.
_CATALOGUE = r"(?:[a-z]*wv|kk|kv|rv|hob|woo|opp?|opus|no|nr)"
_NUMBER = r"\.?\s*(?:(?:anh|posth)\.?\s*)?(?:[ivx]+[a-z]?[:.])?\d[\w.:\u2013-]*"
_YEARS = r"(?:(?:b|ca?)\.?\s*)?(?:1\d|20)\d\d(?:\s*[-\u2013\u2014]\s*(?:(?:ca?\.?\s*)?(?:1\d|20)\d\d)?)?"
_BEHIND = re.compile(rf"(?:\s+(?:(?:{_CATALOGUE}|[dk]|[a-z](?=[.\s])){_NUMBER}|{_YEARS})){{1,4}}$", re.IGNORECASE)
# Segments that name a work or a way of working, not a person: "remix of dave3d42.mid", "BWV 542", "originally".
_NO_PERSON = re.compile(
    r"(?:remix|cover|based|originally|modified|version|medley)\b.*\d.*"
    r"|(?:remix|cover|based)\b.*|originally|modified|version|.*\.midi?|\d*"
    rf"|(?:{_CATALOGUE}|[a-z]\b){_NUMBER}.*|{_YEARS}",
    re.IGNORECASE,
)
_ANONYMOUS = re.compile(
    r".*\b(?:anon|anonymous|unknown|traditional|trad|folk|folksong|various|misc)\b.*|", re.IGNORECASE
)
_PROGRAM = "musiclstm"  # the project's own composer writes each piece anew: a split may divide its pieces one by one
_CATALOGUE_NAME = re.compile(r"([A-Z][a-zé]+(?:-[A-Z][a-z]+)*)([A-Z]{1,3}|L?v)")  # Mutopia: BachJS, BeethovenLv
_TITLE_CREDIT = re.compile(r"[\"”]\s+by\s+([^\"“”]+)")  # Geoff's Vinyl Collection" by MoonDeLaAxel, remix of "Why?
_TITLES_AND_SUFFIXES = frozenset(
    {
        "sir",
        "dr",
        "mr",
        "mrs",
        "ms",
        "rev",
        "fra",
        "jr",
        "sr",
        "ii",
        "iii",
        "von",
        "van",
        "de",
        "di",
        "del",
        "la",
        "der",
    }
)
# Spellings of one surname that accents and case do not explain.
_SPELLINGS = {
    "bartholdy": "mendelssohn",
    "haendel": "handel",
    "tchaikovski": "tchaikovsky",
    "tschaikowsky": "tchaikovsky",
    "chaikovsky": "tchaikovsky",
    "moussorgsky": "mussorgsky",
    "ianequin": "janequin",
    "burgmueller": "burgmuller",
    "dvorzak": "dvorak",
    "skrjabin": "scriabin",
    "rachmaninov": "rachmaninoff",
    # Folded Cyrillic: the breve of "й" is gone.
    "чаиковскии": "tchaikovsky",
    "римскии": "rimsky",
    "корсаков": "korsakov",
}


def persons(credit: str, title: str = "") -> frozenset[str]:
    """The persons behind a piece, as keys that are equal for different spellings of one name.

    A person with a nickname, as in `Tyler "Picklehammer" P.`, has two keys, so that either name finds the other.

    Args:
        credit: the composer as the source writes it.
        title: some sources run the credit into the title: `Fear" by Korp, based on "Dread`.

    Returns:
        lower-case surnames and nicknames; empty for anonymous and traditional music, and for music by a program.
    """
    if _PROGRAM in credit.casefold():
        return frozenset()
    keys: set[str] = set()
    for text in (credit, *_TITLE_CREDIT.findall(title)):
        for name in _split(text):
            keys |= _keys(name)
    return frozenset(keys)


def display_names(credits_: Iterable[str]) -> dict[str, str]:
    """One spelling for each person over a whole corpus: of all that agree in surname and initial, the fullest.

    Args:
        credits_: composers as the sources write them.

    Returns:
        credit -> canonical credit, such as `BachJS` -> `Johann Sebastian Bach`; several persons are joined with " & ",
        and none are "Anonymous".
    """
    split = {credit: [_tidy(name) for name in _split(credit)] for credit in credits_}
    spellings: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for names in split.values():
        for name in names:
            spellings[_surname(name), _plain(name)[:1]][name] += 1
    best = {
        who: max(counts, key=lambda name: (_fullness(name), counts[name], name)) for who, counts in spellings.items()
    }
    by_surname: dict[str, list[str]] = defaultdict(list)
    for (surname, _), name in sorted(best.items()):
        by_surname[surname].append(name)

    def canonical(name: str) -> str:
        surname = _surname(name)
        if _plain(name) == surname:  # a surname alone: whoever of that name has the fullest spelling
            return max(by_surname[surname], key=lambda other: (_fullness(other), other))
        return best[surname, _plain(name)[:1]]

    return {
        credit: " & ".join(dict.fromkeys(canonical(name) for name in names)) or "Anonymous"
        for credit, names in split.items()
    }


def _split(credit: str) -> list[str]:
    """The names in a credit line, dates and works removed."""
    line = " ".join(_BRACKETS.sub(" ", credit).split())
    names = (name.strip(" .:-") for name in _BETWEEN.split(line))
    return [
        _named(name) for name in names if name and not _NO_PERSON.fullmatch(name) and not _ANONYMOUS.fullmatch(name)
    ]


def _named(name: str) -> str:
    """The name without the work numbers and years behind it, if a word of two letters is left."""
    rest = _BEHIND.sub("", name)
    return rest if re.search(r"[^\W\d_]{2}", rest) else name


def _keys(name: str) -> set[str]:
    keys = {_fold(nickname) for nickname in _NICKNAME.findall(name)}
    surname = _surname(_NICKNAME.sub(" ", name))
    keys |= {_SPELLINGS.get(part, part) for part in surname.split("-")}
    return {key for key in keys if len(key) > 1} or {_fold(name)}


def _surname(name: str) -> str:
    """The last word that is no title, folded; a hyphenated surname stays whole."""
    words = [_fold(word) for word in _tidy(name).replace(".", ". ").split()]
    words = [word for word in words if word and word not in _TITLES_AND_SUFFIXES] or words or [""]
    return _SPELLINGS.get(words[-1], words[-1])


def _tidy(name: str) -> str:
    """`BachJS` -> `J. S. Bach`, `G. VERDI.` -> `G. Verdi`, one space between words."""
    match = _CATALOGUE_NAME.fullmatch(name.strip())
    if match:
        surname, initials = match.groups()
        return " ".join([*(f"{letter.upper()}." for letter in initials), surname])
    name = re.sub(r"\.(?=\w)", ". ", name)
    name = re.sub(r"^de (?=[A-Z]\.)", "", name)  # "arr. de F. Tárrega": the preposition, not a particle of the name
    words = [word.title() if len(word) > 3 and word.isupper() else word for word in name.split()]
    return re.sub(r"(?<=\w{3})\.$", "", " ".join(words))


def _fold(text: str) -> str:
    """Lower case without accents and punctuation, hyphens kept inside."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(char for char in decomposed if char.isalnum() or char == "-").strip("-")


def _plain(name: str) -> str:
    return " ".join(filter(None, (_fold(word) for word in name.split())))


def _fullness(name: str) -> tuple[int, int]:
    """Words of more than an initial, then all words."""
    words = name.split()
    return sum(len(_fold(word)) > 1 for word in words), len(words)
