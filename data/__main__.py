"""`./run data`: fill the corpus, look at it, and say what a piece's mood is."""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from loky import cpu_count
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table

from data.catalogue import parse_mood, storable
from data.composer.corpus import LICENCE, write_corpus
from data.composer.piece import SCALE_MAX, SCALE_MIN
from data.corpus import DEFAULT_FOLDER
from data.errors import CorpusProblem, MusicLSTMError
from data.importer import Added, Offer, add, offers_from_catalogue, offers_from_folder
from data.report import CorpusReport, report, set_mood, write_plots
from data.sources import source, source_names
from data.sources.fetch import fetch

CATALOGUE = "a table with file, title, composer, licence, sha256, mood …; what a line leaves out is as the options say"
HALF_TIME = "bring dense pieces into the ambient range: half the tempo or less, no drums (the files stay as they are)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit status: 0, or after one sentence on standard error 1, or 130 if interrupted."""
    options = _parser().parse_args(arguments)
    try:
        commands = {
            "add": _add, "fetch": _fetch, "own": _own, "sources": _sources, "report": _report, "mood": _mood,
        }  # fmt: skip
        commands[options.command](options)
    except MusicLSTMError as error:
        print(error, file=sys.stderr)  # noqa: T201 -- a command line speaks
        return 1
    except KeyboardInterrupt:
        print("Interrupted; the corpus is whole. Start again to go on.", file=sys.stderr)  # noqa: T201
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="./run data", description="The training music.")
    commands = parser.add_subparsers(dest="command", required=True)
    adding = commands.add_parser("add", help="add MIDI files with their licence")
    adding.add_argument("folder", type=Path, help="searched for .mid and .midi files")
    adding.add_argument("--licence", default="", help="SPDX identifier, such as CC0-1.0: no licence, no import")
    adding.add_argument("--credit", default="", help="the line that thanks the author")
    adding.add_argument("--source", default="", help="where the files are from (default: the folder's name)")
    adding.add_argument("--composer", default="", help="who wrote all of them")
    adding.add_argument("--mood", type=_mood_option, help="the mood of all of them (default: estimated for each)")
    adding.add_argument("--catalogue", type=Path, help=CATALOGUE)
    adding.add_argument("--half-time", action="store_true", help=HALF_TIME)
    fetching = commands.add_parser("fetch", help="download open music, verify it and add it")
    fetching.add_argument("name", help=f"one of {', '.join(source_names())}")
    fetching.add_argument(
        "--from", dest="local", type=Path, metavar="PATH", help="an archive or a folder that is here already"
    )
    fetching.add_argument("--url", default="", help="a mirror of the archive; every file is verified all the same")
    fetching.add_argument("--half-time", action="store_true", help=HALF_TIME)
    own = commands.add_parser("own", help="have the project's own composer write pieces (CC0-1.0) and add them")
    own.add_argument("--count", type=int, default=2000, help="pieces, the moods taking turns (default: 2000)")
    own.add_argument("--seed", type=int, default=1, help="0 or more; the same seed gives the same pieces (default: 1)")
    own.add_argument("--scale", type=float, default=1.0, help="of the usual duration, 0.2 to 2 (default: 1)")
    commands.add_parser("sources", help="list the open music that can be fetched")
    reporting = commands.add_parser("report", help="show pieces, notes, hours, moods, licences and composers")
    reporting.add_argument("--plots", type=Path, metavar="FOLDER", help="also write pictures")
    moods = commands.add_parser("mood", help="say what a piece's mood is")
    moods.add_argument("piece", help="the first digits of its sha256, its title or its file name")
    moods.add_argument("mood", help="one of the eight moods, or auto for the estimate")
    for command in (adding, fetching, own, reporting, moods):
        command.add_argument("--corpus", type=Path, default=DEFAULT_FOLDER, help=f"default: {DEFAULT_FOLDER}")
    for command in (adding, fetching, own, reporting):
        command.add_argument("--json", action="store_true", help="print one JSON object instead")
    return parser


def _mood_option(text: str) -> object:
    try:
        return parse_mood(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _add(options: argparse.Namespace) -> None:
    words = {name: getattr(options, name) for name in ("licence", "credit", "source", "composer", "mood", "half_time")}
    if options.catalogue:
        offers = list(offers_from_catalogue(options.folder, options.catalogue, **words))
    else:
        offers = offers_from_folder(options.folder, **words)
    _import(options, offers)


def _fetch(options: argparse.Namespace) -> None:
    wanted = source(options.name)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with _progress(*columns, options=options) as bar:
        task = bar.add_task(f"Fetching {wanted.name}", total=None)
        offers = fetch(
            wanted,
            options.corpus.parent / "sources",
            url=options.url,
            local=options.local,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        bar.update(task, total=1, completed=1)
    _import(options, [replace(offer, half_time=options.half_time) for offer in offers])


def _own(options: argparse.Namespace) -> None:
    if options.count < 1 or options.seed < 0 or not SCALE_MIN <= options.scale <= SCALE_MAX:
        raise CorpusProblem(f"--count is 1 or more, --seed 0 or more, and --scale from {SCALE_MIN} to {SCALE_MAX}.")
    scale = "" if options.scale == 1 else f", scale {options.scale:g}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _progress(TextColumn("Composing"), BarColumn(), MofNCompleteColumn(), options=options) as bar:
            task = bar.add_task("", total=options.count)
            write_corpus(
                folder,
                options.count,
                options.seed,
                cpu_count(),
                lambda done: bar.update(task, completed=done),
                scale=options.scale,
            )
        credit = f"Composed by MusicLSTM's own composer (data/composer), seed {options.seed}{scale}"
        offers = offers_from_catalogue(folder, folder / "catalogue.tsv", licence=LICENCE, credit=credit)
        _import(options, list(offers))


def _sources(_: argparse.Namespace) -> None:
    table = _table("name", "what", "licence", "files", "fetched from", title="Open music")
    for name in source_names():
        found = source(name)
        table.add_row(name, found.title, found.licence, str(len(found.files)), found.url or "--from FOLDER")
    _console().print(table)


def _console() -> Console:
    """Standard output, on which titles and file names stand as they are: brackets in them are no markup."""
    return Console(markup=False)


def _table(*columns: str, title: str) -> Table:
    """A table that breaks long words rather than cut them: of two long file names nobody could tell which is meant."""
    return Table(*(Column(name, overflow="fold") for name in columns), title=title)


def _import(options: argparse.Namespace, offers: Sequence[Offer]) -> None:
    """Add with a progress bar, and say what became of each file."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with _progress(*columns, options=options) as bar:
        task = bar.add_task("Reading MIDI", total=len(offers))
        added = add(
            options.corpus,
            offers,
            progress=lambda: bar.advance(task),
            waiting=functools.partial(_say_waiting, bar.console),
        )
    if options.json:
        _print_json(
            {
                "accepted": len(added.accepted),
                "known": len(added.known),
                "kept": [asdict(kept) for kept in added.kept],
                "quarantined": [asdict(refusal) for refusal in added.refused],
            }
        )
    else:
        _show_added(added, options.corpus)


def _say_waiting(console: Console) -> None:
    if console.is_terminal:
        console.print("Another import into this corpus is at work: waiting until it is done.")


def _progress(*columns: ProgressColumn, options: argparse.Namespace) -> Progress:
    """A bar on a terminal; nothing where a program or a file listens."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=options.json or not console.is_terminal, transient=True)


def _show_added(added: Added, folder: Path) -> None:
    console = _console()
    table = _table("source", "accepted", "known", "quarantined", "notes", title="Imported")
    counts = [Counter(item.source for item in items) for items in (added.accepted, added.known, added.refused)]
    notes: Counter[str] = Counter()
    for entry in added.accepted:
        notes[entry.source] += entry.notes
    for name in sorted(set().union(*counts)):
        table.add_row(name, *(str(count[name]) for count in counts), f"{notes[name]:,}")
    console.print(table)
    for title, why, refusals in (
        ("Quarantined", "why not", added.refused),
        ("Known from another source", "what stays", added.kept),
    ):
        if refusals:
            reasons = _table("file", why, title=title)
            for refusal in refusals:
                reasons.add_row(refusal.file, refusal.reason)
            console.print(reasons)
    console.print(storable(f"The corpus is in {folder}; ./run data report shows it."))


def _report(options: argparse.Namespace) -> None:
    found = report(options.corpus)
    pictures = write_plots(options.corpus, options.plots) if options.plots else []
    if options.json:
        _print_json(asdict(found) | {"plots": [storable(str(path)) for path in pictures]})
        return
    _show_report(found)
    for path in pictures:
        _console().print(storable(f"Picture: {path}"))


def _show_report(found: CorpusReport) -> None:
    console = _console()
    console.print(
        f"{found.pieces:,} pieces, {found.notes:,} notes, {found.hours:.1f} hours, {found.composers} composers, "
        f"{found.quarantined} files in quarantine."
    )
    for title, shares in (
        ("Moods", found.moods),
        ("Sources", found.sources),
        ("Licences", found.licences),
        ("Composers with most notes", found.top_composers),
    ):
        table = _table(title.split()[0].lower().rstrip("s"), "pieces", "notes", "hours", title=title)
        for share in shares:
            table.add_row(share.name, f"{share.pieces:,}", f"{share.notes:,}", f"{share.hours:.1f}")
        console.print(table)


def _mood(options: argparse.Namespace) -> None:
    waiting = functools.partial(_say_waiting, Console(stderr=True))
    entry = set_mood(options.corpus, options.piece, options.mood, waiting=waiting)
    _console().print(f"{entry.title} is {entry.effective_mood} now.")


def _print_json(value: object) -> None:
    print(json.dumps(value, ensure_ascii=False))  # noqa: T201 -- standard output is the interface


if __name__ == "__main__":
    sys.exit(main())
