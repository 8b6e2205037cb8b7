"""What a corpus holds, in numbers and pictures; and a person's word on a piece's mood."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.catalogue import Entry, entries_of, parse_mood, read_refusals, sole_writer, storable, write_catalogue
from data.composers import display_names
from data.errors import CorpusProblem
from data.moods import MOODS, PROFILES

TOP_COMPOSERS = 15


@dataclass(frozen=True, slots=True)
class Share:
    """One part of a corpus."""

    name: str
    pieces: int
    notes: int
    hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusReport:
    """What a corpus holds. Moods are in their own order, the rest by notes."""

    pieces: int
    notes: int
    hours: float
    composers: int
    quarantined: int
    moods: list[Share]
    sources: list[Share]
    licences: list[Share]
    top_composers: list[Share]


def report(folder: Path) -> CorpusReport:
    """Count a corpus from its catalogue.

    Raises:
        CorpusProblem: there is no corpus.
    """
    entries = entries_of(folder)
    names = display_names(entry.composer for entry in entries)
    composers = _shares(entries, lambda entry: names[entry.composer])
    by_mood = {share.name: share for share in _shares(entries, lambda entry: entry.effective_mood.value)}
    return CorpusReport(
        pieces=len(entries),
        notes=sum(entry.notes for entry in entries),
        hours=_hours(entries),
        composers=len(composers),
        quarantined=len(read_refusals(folder)),
        moods=[by_mood.get(mood, Share(mood, 0, 0, 0.0)) for mood in MOODS],
        sources=_shares(entries, lambda entry: entry.source),
        licences=_shares(entries, lambda entry: entry.licence),
        top_composers=composers[:TOP_COMPOSERS],
    )


def set_mood(folder: Path, piece: str, mood: str, *, waiting: Callable[[], None] = lambda: None) -> Entry:
    """Override the mood of one piece, or with `auto` go back to the estimate.

    Args:
        folder: the corpus.
        piece: the first digits of the sha256 (at least four), the title or the file name; case does not matter.
        mood: a mood's name, or `auto`.
        waiting: called if somebody else changes the corpus: the mood is set when that is done.

    Raises:
        CorpusProblem: no piece or several are meant, or there is no such mood.
    """
    entries_of(folder)  # where there is no corpus, none is made
    with sole_writer(folder, waiting):
        entries = entries_of(folder)
        changed = _with_mood(folder, entries, piece, mood)
        write_catalogue(folder, [changed if entry.sha256 == changed.sha256 else entry for entry in entries])
    return changed


def _with_mood(folder: Path, entries: Sequence[Entry], piece: str, mood: str) -> Entry:
    wanted = storable(piece.strip()).casefold()
    found = [entry for entry in entries if wanted in {entry.title.casefold(), entry.file.casefold()}] or [
        entry for entry in entries if len(wanted) >= 4 and entry.sha256.startswith(wanted)
    ]
    if not found:
        raise CorpusProblem(f"There is no piece '{piece}' in {folder}: give its title, file name or sha256.")
    if len(found) > 1:
        digits = ", ".join(entry.sha256[:8] for entry in found[:5])
        raise CorpusProblem(f"'{piece}' means {len(found)} pieces: say which by its sha256 ({digits}).")
    try:
        override = None if mood.strip().lower() == "auto" else parse_mood(mood)
    except ValueError as error:
        raise CorpusProblem(f"'{mood}' is no mood: {error}, or auto.") from error
    return replace(found[0], mood_override=override)


def write_plots(folder: Path, out: Path) -> list[Path]:
    """Draw the notes of each mood and of each source as bars.

    Returns:
        the PNG files, `moods.png` and `sources.png` in `out`.

    Raises:
        CorpusProblem: there is no corpus, or `out` cannot be written.
    """
    found = report(folder)
    colours = [PROFILES[mood].rgb for mood in MOODS]
    grey = [(0x6E, 0x7C, 0x8A)] * len(found.sources)
    try:
        out.mkdir(parents=True, exist_ok=True)
        return [
            _bars(out / "moods.png", "Notes by mood", found.moods, colours),
            _bars(out / "sources.png", "Notes by source", found.sources, grey),
        ]
    except OSError as error:
        raise CorpusProblem(f"{out} could not be written: {error.strerror}.") from error


def _bars(path: Path, title: str, shares: Sequence[Share], colours: Sequence[tuple[int, int, int]]) -> Path:
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 -- only this command draws

    row, left, width = 34, 150, 900
    picture = Image.new("RGB", (width, row * len(shares) + 70), (24, 24, 32))
    draw = ImageDraw.Draw(picture)
    draw.text((20, 14), title, fill=(235, 235, 240), font=ImageFont.load_default(22))
    font = ImageFont.load_default(16)
    longest = max((share.notes for share in shares), default=0) or 1
    for number, (share, colour) in enumerate(zip(shares, colours, strict=True)):
        top = 56 + number * row
        length = round((width - left - 190) * share.notes / longest)
        draw.text((20, top + 2), share.name[:16], fill=(200, 200, 210), font=font)
        draw.rectangle((left, top, left + max(1, length), top + row - 12), fill=colour)
        text = f"{share.notes:,} in {share.pieces:,}"
        draw.text((left + length + 10, top + 2), text, fill=(200, 200, 210), font=font)
    picture.save(path)
    return path


def _shares(entries: Iterable[Entry], name_of: Callable[[Entry], str]) -> list[Share]:
    """Parts by name, the one with most notes first."""
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(name_of(entry), []).append(entry)
    shares = [Share(name, len(part), sum(e.notes for e in part), _hours(part)) for name, part in parts.items()]
    return sorted(shares, key=lambda share: (-share.notes, share.name))


def _hours(entries: Iterable[Entry]) -> float:
    return round(sum(entry.duration_s for entry in entries) / 3600, 2)
