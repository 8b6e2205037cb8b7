"""Numbered migrations: `migrations/0001_requests.sql` and on. `PRAGMA user_version` counts those applied.

A migration that has been released is never edited; a change of the schema is a new file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bot.errors import HistoryProblem

FOLDER = Path(__file__).parent / "migrations"
APPLICATION_ID = 0x4D4C5354  # "MLST": tells this database from any other SQLite file
_PATIENCE_S = 10.0  # with another program that writes


def migrations() -> list[Path]:
    """The migration files in order; the first has number 1."""
    return sorted(FOLDER.glob("[0-9]*.sql"))


def migrate(path: Path) -> None:
    """Bring a database up to date in one transaction, making it when it does not exist. Blocks: run it in a thread.

    Raises:
        HistoryProblem: not a database of this program, newer than this program, damaged, or not writable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)) as db:
            _write_ahead(db)
            db.execute("BEGIN IMMEDIATE")  # two processes that start at once: the second waits, then finds it done
            _apply(db, path)
            db.execute("COMMIT")
    except (sqlite3.Error, OSError) as error:
        raise HistoryProblem(f"The history {path} cannot be opened: {error}.") from error


def _write_ahead(db: sqlite3.Connection) -> None:
    """Turn the write-ahead log on. While another program makes the database, SQLite says busy and does not wait."""
    until_s = time.monotonic() + _PATIENCE_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
        else:
            return
        time.sleep(0.01)


def _apply(db: sqlite3.Connection, path: Path) -> None:
    files = migrations()
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    if application not in {0, APPLICATION_ID} or (
        version == 0 and db.execute("SELECT 1 FROM sqlite_schema").fetchone()
    ):
        raise HistoryProblem(f"{path} belongs to another program: choose another file with MUSICLSTM_DATABASE.")
    if version > len(files):
        raise HistoryProblem(
            f"The history {path} was written by a newer version of this program: update it, "
            "or choose another file with MUSICLSTM_DATABASE."
        )
    for file in files[version:]:
        for statement in _statements(file.read_text(encoding="utf-8")):
            db.execute(statement)
    if version < len(files):
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {len(files)}")


def _statements(script: str) -> Iterator[str]:
    """Split a script: `executescript` would commit the transaction that all of this has to happen in."""
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""
