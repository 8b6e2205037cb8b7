"""Take MIDI files into a corpus: each is accepted, or quarantined with the reason."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.catalogue import (
    Entry,
    Refusal,
    midi_path,
    parse_mood,
    read_catalogue,
    read_refusals,
    read_table,
    sole_writer,
    storable,
    write_atomically,
    write_catalogue,
    write_refusals,
)
from data.corpus import read_score
from data.errors import CorpusProblem, InvalidMidi
from data.half_time import half_time
from data.licensing import parse_licence
from data.midi import MAX_BYTES, MidiFile, read_midi
from data.mood_estimate import estimate_mood
from data.moods import Mood
from data.score import Score
from data.similarity import NEAR_DUPLICATE_SHARE, SimilarityIndex, fingerprint

MIN_NOTES = 32  # fewer are a jingle, from which no form can be learnt
MIN_DURATION_S = 5.0
MAX_DURATION_S = 3600.0
MAX_FILES = 100_000
SAVE_EVERY_S = 5.0  # a kill loses no more than that
_TERMS = ("source", "title", "composer", "licence", "credit", "file")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A file that somebody would like to add. Its words are made storable.

    Attributes:
        path: where it is.
        source: where it is from, such as `freedoom`.
        licence: SPDX identifier or an everyday name; checked by `add`.
        title: "" takes the MIDI file's own title, else its name.
        composer: "" for nobody known.
        credit: the line that the licence asks for; "" makes one from title, composer and source.
        sha256: what the file should hash to, or "".
        mood: what the source says, or None to estimate it.
        half_time: bring the piece into the ambient range (see `data.half_time`).
    """

    path: Path
    source: str
    licence: str
    title: str = ""
    composer: str = ""
    credit: str = ""
    sha256: str = ""
    mood: Mood | None = None
    half_time: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "licence", "title", "composer", "credit"):
            object.__setattr__(self, name, storable(getattr(self, name)))

    @property
    def file(self) -> str:
        """The file's name."""
        return storable(self.path.name)


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the offers.

    Attributes:
        accepted: new in the corpus.
        known: files that were there already; what is said about them was brought up to date, a person's mood was kept.
        refused: with reasons.
        kept: known files whose source and terms stay as they were, since these offers were of another source.
    """

    accepted: list[Entry]
    known: list[Entry]
    refused: list[Refusal]
    kept: list[Refusal]


def offers_from_folder(
    folder: Path,
    *,
    licence: str,
    credit: str,
    source: str = "",
    composer: str = "",
    mood: Mood | None = None,
    half_time: bool = False,
) -> list[Offer]:
    """All `.mid` and `.midi` files under a folder, in the order of their names.

    Raises:
        CorpusProblem: the folder does not exist, or the licence or the credit is missing.
    """
    licence = parse_licence(licence)
    if not credit.strip():
        raise CorpusProblem("Say whom to thank: --credit 'Music by …'.")
    return [
        Offer(
            path=path,
            source=source or folder.resolve().name,
            licence=licence,
            credit=credit.strip(),
            composer=composer,
            mood=mood,
            half_time=half_time,
        )
        for path in _midi_files(folder)
    ]


def offers_from_catalogue(
    folder: Path,
    table: Path,
    *,
    licence: str = "",
    credit: str = "",
    source: str = "",
    composer: str = "",
    mood: Mood | None = None,
    half_time: bool = False,
) -> Iterator[Offer]:
    """The files that a table names, with what it says about each; what it leaves out is as the arguments say.

    The table is tab-separated with a header; `file` is needed, and `source title composer licence credit sha256 mood`
    are used where present. A file lies at `folder/source/file` or at `folder/file`. Files that the table does not name
    are not offered, since nothing says under which licence they are.

    Raises:
        CorpusProblem: there is no such folder or table, or it has no `file` column, or a line names no file.
    """
    if not folder.is_dir():
        raise CorpusProblem(f"There is no folder {folder}.")
    rows = read_table(table)
    if rows and "file" not in rows[0]:
        raise CorpusProblem(f"{table} needs a column named file.")
    for row in rows:
        if not row["file"]:
            raise CorpusProblem(f"A line of {table} names no file: mend or delete it.")
        its_source = row.get("source") or source or folder.resolve().name
        path = folder / its_source / row["file"]
        if not _inside(path, folder) or not path.is_file():
            path = folder / row["file"]
        yield Offer(
            path=path if _inside(path, folder) else folder / "outside-this-folder",
            source=its_source,
            licence=row.get("licence") or licence,
            title=row.get("title") or "",
            composer=row.get("composer") or composer,
            credit=row.get("credit") or credit,
            sha256=row.get("sha256") or "",
            mood=_mood_in(row, table) or mood,
            half_time=half_time,
        )


def add(
    folder: Path,
    offers: Sequence[Offer],
    *,
    progress: Callable[[], None] = lambda: None,
    waiting: Callable[[], None] = lambda: None,
) -> Added:
    """Add files to the corpus in `folder`. Doing it twice changes nothing; a file that was lost there is brought back.

    Args:
        folder: the corpus; made if it does not exist.
        offers: in the order in which near-duplicates are decided: the first one stays.
        progress: called once for each offer.
        waiting: called if somebody else changes the corpus: this import begins when that is done.

    Raises:
        CorpusProblem: the corpus is damaged or cannot be written. What was accepted until then is kept.
    """
    with sole_writer(folder, waiting):
        work = _Import(folder)
        _mend(folder, work.entries, offers)
        saved_s = time.monotonic()
        try:
            for offer in offers:
                progress()
                work.take(offer)
                if time.monotonic() - saved_s > SAVE_EVERY_S:
                    work.save()
                    saved_s = time.monotonic()
        finally:
            work.save()
    return work.result


class _Import:
    """What a corpus holds, and what has become of the offers so far."""

    def __init__(self, folder: Path) -> None:
        self.result = Added([], [], [], [])
        self.entries = {entry.sha256: entry for entry in read_catalogue(folder)}
        self._folder = folder
        self._earlier: dict[tuple[str, str], list[Refusal]] = defaultdict(list)
        for refusal in read_refusals(folder):
            self._earlier[refusal.source, refusal.file].append(refusal)
        self._index: SimilarityIndex | None = None

    def take(self, offer: Offer) -> None:
        """Accept a file, bring what is said of it up to date, or refuse it."""
        self._earlier.pop((offer.source, offer.file), None)
        data, sha256 = b"", ""
        try:
            data = _read(offer.path)
            sha256 = hashlib.sha256(data).hexdigest()
            licence = _checked(offer, sha256)
            file = _usable(offer, data)
            known = self.entries.get(sha256)
            if known:
                if offer.source != known.source:
                    self.result.kept.append(Refusal(offer.file, offer.source, sha256, _kept(known)))
                self.entries[sha256] = _refreshed(known, offer, file, licence)
                self.result.known.append(self.entries[sha256])
                return
            runs = fingerprint(file.score)
            self._index = self._index or _index(self._folder, self.entries.values())
            _check_new(runs, self._index)
            entry = _entry(offer, file, sha256, licence)
        except (_Refused, InvalidMidi) as error:
            self.result.refused.append(Refusal(offer.file, offer.source, sha256, str(error)))
            return
        write_atomically(midi_path(self._folder, sha256), data)
        self.entries[sha256] = entry
        self._index.add(f"{offer.source}/{offer.file}", runs)
        self.result.accepted.append(entry)

    def save(self) -> None:
        """Write down what the corpus holds now."""
        write_catalogue(self._folder, self.entries.values())
        write_refusals(self._folder, [*itertools.chain(*self._earlier.values()), *self.result.refused])


class _Refused(Exception):
    """Why one file is not taken; the text is shown to people."""


def _midi_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CorpusProblem(f"There is no folder {folder}.")
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".mid", ".midi"})
    if not found:
        raise CorpusProblem(f"There are no MIDI files (.mid, .midi) in {folder}.")
    if len(found) > MAX_FILES:
        raise CorpusProblem(f"{folder} has {len(found):,} MIDI files: add at most {MAX_FILES:,} at a time.")
    return found


def _mood_in(row: Mapping[str, str], table: Path) -> Mood | None:
    try:
        return parse_mood(row["mood"]) if row.get("mood") else None
    except ValueError as error:
        raise CorpusProblem(f"{table} gives {row['file']} an unknown mood: {error}.") from error


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _read(path: Path) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise _Refused("not a regular file")
        if path.stat().st_size > MAX_BYTES:
            raise _Refused(f"larger than {MAX_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise _Refused("the file is missing or cannot be read") from error


def _checked(offer: Offer, sha256: str) -> str:
    """The licence as an SPDX identifier, after the checksum was compared."""
    if offer.sha256 and offer.sha256.lower() != sha256:
        raise _Refused("checksum mismatch: this is not the file that the catalogue describes")
    try:
        return parse_licence(offer.licence)
    except CorpusProblem as error:
        raise _Refused(str(error)) from error


def _mend(folder: Path, entries: Mapping[str, Entry], offers: Iterable[Offer]) -> None:
    """Bring back what the corpus has lost, or was damaged there, and is offered again."""
    for offer in offers if entries else ():
        with contextlib.suppress(_Refused):
            data = _read(offer.path)
            kept = midi_path(folder, hashlib.sha256(data).hexdigest())
            if kept.stem in entries and not (kept.is_file() and kept.read_bytes() == data):
                write_atomically(kept, data)


def _usable(offer: Offer, data: bytes) -> MidiFile:
    """The file with its score as it is used: at half time where the offer says so."""
    file = read_midi(data)
    score = half_time(file.score) if offer.half_time else file.score
    if len(score.notes) < MIN_NOTES:
        raise _Refused(f"too few notes: {len(score.notes)}, at least {MIN_NOTES} are needed")
    if not MIN_DURATION_S <= score.duration_s <= MAX_DURATION_S:
        raise _Refused(
            f"absurd duration: {score.duration_s:,.0f} s, it should be {MIN_DURATION_S:.0f} to {MAX_DURATION_S:,.0f}"
        )
    return replace(file, score=score)


def _check_new(runs: frozenset[int], index: SimilarityIndex) -> None:
    twin, share = index.nearest(runs)
    if share >= NEAR_DUPLICATE_SHARE:
        raise _Refused(f"near-duplicate of {twin} ({share:.0%} of its phrases)")


def _entry(offer: Offer, file: MidiFile, sha256: str, licence: str) -> Entry:
    title = offer.title or file.title or storable(offer.path.stem)
    mood, confidence = _mood(offer, file.score)
    return Entry(
        sha256=sha256,
        source=offer.source,
        title=title,
        composer=offer.composer,
        licence=licence,
        credit=offer.credit or _credit_line(title, offer),
        mood=mood,
        confidence=round(confidence, 3),
        half_time=offer.half_time,
        notes=len(file.score.notes),
        duration_s=round(file.score.duration_s, 1),
        file=offer.file,
    )


def _mood(offer: Offer, score: Score) -> tuple[Mood, float]:
    if offer.mood is not None:
        return offer.mood, 1.0
    estimate = estimate_mood(score)
    return estimate.mood, estimate.confidence


def _refreshed(entry: Entry, offer: Offer, file: MidiFile, licence: str) -> Entry:
    """The entry as the newer offer would make it; words that it lacks and a person's mood are kept.

    Of an offer of another source, only the words that the entry lacks are taken: nobody's licence or thanks are lost.
    """
    newer = replace(offer, title=offer.title or entry.title, composer=offer.composer or entry.composer)
    fresh = replace(_entry(newer, file, entry.sha256, licence), mood_override=entry.mood_override)
    if offer.source == entry.source:
        return fresh
    return replace(entry, **{name: getattr(entry, name) or getattr(fresh, name) for name in _TERMS})


def _kept(entry: Entry) -> str:
    return f"known as {entry.source}/{entry.file} under {entry.licence}: its source, licence and credit stay"


def _credit_line(title: str, offer: Offer) -> str:
    return f"“{title}” by {offer.composer or 'an unknown composer'} ({offer.source})"


def _index(folder: Path, entries: Iterable[Entry]) -> SimilarityIndex:
    index = SimilarityIndex()
    for entry in entries:
        index.add(f"{entry.source}/{entry.file}", fingerprint(read_score(folder, entry)))
    return index
