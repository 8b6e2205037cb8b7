"""The catalogue of a corpus: a table for people, one line for each MIDI file.

FOLDER/
├── catalogue.tsv     what is in the corpus; opens in any spreadsheet
├── quarantine.tsv    what was refused, and why
├── lock              held by whoever changes these
└── midi/<sha256>.mid the files as they came
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import os
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from data.errors import CorpusProblem
from data.moods import MOODS, Mood

MOMENT_S = 0.5  # nobody need be told of a shorter wait


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One accepted file.

    Attributes:
        sha256: of the file, in hexadecimal; names the piece.
        source: where it is from, such as `freedoom`.
        title: of the piece.
        composer: as the source writes it; "" where nobody is known.
        licence: SPDX identifier.
        credit: the line that the licence asks for.
        mood: estimated from the music, or as the source gives it.
        confidence: of the estimate, 1/8 to 1; 1.0 where the source gives the mood.
        mood_override: what a person says instead, or None.
        half_time: the piece is used at half its tempo and without pitched drums (see `data.half_time`).
        notes: pitched notes.
        duration_s: seconds, as written.
        file: the name that it came with.
    """

    sha256: str
    source: str
    title: str
    composer: str
    licence: str
    credit: str
    mood: Mood
    confidence: float
    mood_override: Mood | None = None
    half_time: bool = False
    notes: int
    duration_s: float
    file: str

    @property
    def effective_mood(self) -> Mood:
        """The override if there is one, else the estimate."""
        return self.mood_override or self.mood


@dataclass(frozen=True, slots=True)
class Refusal:
    """One file that was not accepted."""

    file: str
    source: str
    sha256: str
    reason: str


def storable(text: str) -> str:
    """The text as a table in UTF-8 can hold it: a byte of a file's name that is no UTF-8 is spelt out."""
    return text.encode(errors="backslashreplace").decode()


def catalogue_path(folder: Path) -> Path:
    """Where a corpus keeps its catalogue."""
    return folder / "catalogue.tsv"


def midi_path(folder: Path, sha256: str) -> Path:
    """Where a corpus keeps one MIDI file."""
    return folder / "midi" / f"{sha256}.mid"


@contextlib.contextmanager
def sole_writer(folder: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Be the only one who changes a corpus: what is read meanwhile is still so when it is written back.

    The operating system drops the lock when the process ends, in whatever way.

    Args:
        folder: the corpus; made if it does not exist.
        waiting: called once if another is at work for longer than a moment.

    Raises:
        CorpusProblem: the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _lock(stack.enter_context((folder / "lock").open("ab")), waiting)
        except OSError as error:
            raise CorpusProblem(f"{folder} could not be written: {error.strerror}.") from error
        yield


def read_catalogue(folder: Path) -> list[Entry]:
    """The entries of a corpus in the order of the table; none when there is no corpus yet.

    Raises:
        CorpusProblem: the table is damaged; the sentence names the line.
    """
    path = catalogue_path(folder)
    entries = []
    for number, row in _rows(path):
        try:
            entries.append(_entry(row))
        except (KeyError, TypeError, ValueError) as error:
            raise CorpusProblem(
                f"Line {number} of {path} cannot be read ({error}): mend or delete that line."
            ) from error
    return entries


def entries_of(folder: Path) -> list[Entry]:
    """The entries of a corpus that is there.

    Raises:
        CorpusProblem: it has none, or the table is damaged.
    """
    entries = read_catalogue(folder)
    if not entries:
        raise CorpusProblem(
            f"There is no music in {folder}: add some with "
            f"./run data add FOLDER --corpus {shlex.quote(str(folder))} --licence ID --credit LINE."
        )
    return entries


def write_catalogue(folder: Path, entries: Iterable[Entry]) -> None:
    """Replace the catalogue, ordered by source, file name and digest.

    Raises:
        CorpusProblem: the disk is full or the folder cannot be written.
    """
    rows = [
        asdict(entry)
        | {
            "confidence": f"{entry.confidence:.3f}",
            "duration_s": f"{entry.duration_s:.1f}",
            "mood_override": entry.mood_override or "",
            "half_time": "yes" if entry.half_time else "",
        }
        for entry in sorted(entries, key=lambda entry: (entry.source, entry.file, entry.sha256))
    ]
    _write_table(catalogue_path(folder), [field.name for field in fields(Entry)], rows)


def read_refusals(folder: Path) -> list[Refusal]:
    """What was refused so far."""
    rows = _rows(folder / "quarantine.tsv")
    return [Refusal(*(row.get(field.name) or "" for field in fields(Refusal))) for _, row in rows]


def write_refusals(folder: Path, refusals: Iterable[Refusal]) -> None:
    """Replace the list of what was refused.

    Raises:
        CorpusProblem: the disk is full or the folder cannot be written.
    """
    rows = [asdict(refusal) for refusal in sorted(refusals, key=lambda refusal: (refusal.source, refusal.file))]
    _write_table(folder / "quarantine.tsv", [field.name for field in fields(Refusal)], rows)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that it is, at every moment, either the old one or the new one.

    Raises:
        CorpusProblem: the disk is full or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".", suffix=".part", delete=False) as temporary:
            try:
                temporary.write(content)
                temporary.flush()
                os.fsync(temporary.fileno())
                Path(temporary.name).replace(path)
            except BaseException:
                Path(temporary.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise CorpusProblem(f"{path} could not be written: {error.strerror}.") from error


def read_table(path: Path) -> list[dict[str, str]]:
    """A tab-separated table with a header line, quoted where a field needs it.

    Raises:
        CorpusProblem: there is no such table or it is not text.
    """
    if not path.is_file():
        raise CorpusProblem(f"There is no table {path}.")
    return [row for _, row in _rows(path)]


def _lock(file: BinaryIO, waiting: Callable[[], None]) -> None:
    end_s = time.monotonic() + MOMENT_S
    while time.monotonic() < end_s:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(0.02)
    waiting()
    fcntl.flock(file, fcntl.LOCK_EX)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a table; none if the file does not exist."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # some spreadsheets write a mark in front
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusProblem(f"{path} cannot be read: is it a tab-separated table in UTF-8?") from error
    reader = csv.DictReader(io.StringIO(text), delimiter="\t")
    try:
        return [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise CorpusProblem(f"Line {reader.line_num} of {path} cannot be read: {error}.") from error


def _write_table(path: Path, columns: list[str], rows: Iterable[Mapping[str, object]]) -> None:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, delimiter="\t", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, buffer.getvalue().encode())


def _entry(row: Mapping[str, str]) -> Entry:
    if len(row["sha256"]) != 64 or set(row["sha256"]) - set("0123456789abcdef"):
        raise ValueError("the sha256 is not 64 hexadecimal digits")
    if not row["licence"]:
        raise ValueError("there is no licence")
    return Entry(
        sha256=row["sha256"],
        source=row["source"],
        title=row["title"],
        composer=row["composer"],
        licence=row["licence"],
        credit=row["credit"],
        mood=parse_mood(row["mood"]),
        confidence=float(row["confidence"]),
        mood_override=parse_mood(row["mood_override"]) if row["mood_override"] else None,
        half_time=row["half_time"] == "yes",
        notes=int(row["notes"]),
        duration_s=float(row["duration_s"]),
        file=row["file"],
    )


def parse_mood(text: str) -> Mood:
    """A mood by name.

    Raises:
        ValueError: there is no such mood; the message names those that are.
    """
    if text.strip().lower() not in MOODS:
        raise ValueError(f"the mood is one of {', '.join(MOODS)}")
    return Mood(text.strip().lower())
