"""Keeping the disk in bounds: pieces past their time, sounds over the budget, files that belong to nothing.

A sound that was deleted is made again, bit for bit, when somebody asks for it; its request, MIDI and picture stay.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bot.history import History
from bot.history.rows import to_text
from bot.pieces import PieceFolder
from bot.quota import forget_deleted
from engine.types import ID_PATTERN

_log = logging.getLogger(__name__)

_OURS = re.compile(rf"{ID_PATTERN}(-again)?\.(mid|wav|png|ogg)(\.part)?")
_OWNER = ".database"  # a file that names the database whose pieces a folder keeps
_FRESH_S = 3600.0  # younger files are left alone: somebody may be sending them


@dataclass(frozen=True, slots=True)
class Tidied:
    """What was done: pieces forgotten, sounds and stray files deleted."""

    pieces: int
    files: int


async def tidy(history: History, folder: PieceFolder, *, keep_for: timedelta | None, budget_bytes: int) -> Tidied:
    """Forget and delete what nobody needs.

    Args:
        history: open.
        folder: of the pieces' files.
        keep_for: finished pieces older than this are forgotten, except anybody's favourites; None keeps all.
        budget_bytes: the oldest sounds go until the rest fits.

    Raises:
        HistoryProblem: the database cannot be written.
    """
    await forget_deleted(history)
    forgotten = []
    if keep_for is not None:
        rows = await history.rows(
            "SELECT id FROM requests WHERE finished_at IS NOT NULL AND created_at < :limit "
            "AND id NOT IN (SELECT request_id FROM favourites)",
            {"limit": to_text(history.clock() - keep_for)},
        )
        forgotten = [row["id"] for row in rows]
        for piece_id in forgotten:
            await history.delete(piece_id)
            await asyncio.to_thread(folder.remove, piece_id)
    names = await asyncio.to_thread(lambda: sorted({_piece_id(path) for path in _files(folder)}))
    rows = await history.rows(
        "SELECT id, state FROM requests WHERE id IN (SELECT value FROM json_each(:names))", {"names": json.dumps(names)}
    )
    known = {row["id"]: row["state"] for row in rows}
    unfinished = {piece_id for piece_id, state in known.items() if state in {"queued", "running"}}
    mine = str((await history.rows("SELECT id FROM identity", {}))[0]["id"])
    ours = await asyncio.to_thread(_is_ours, folder, mine, claim=not names or bool(known))
    files = await asyncio.to_thread(_delete, folder, set(known), unfinished, budget_bytes, strays=ours)
    if forgotten or files:
        _log.info("forgot %d pieces past their time, deleted %d files", len(forgotten), files)
    return Tidied(len(forgotten), files)


def _piece_id(path: Path) -> str:
    return path.name.partition(".")[0].removesuffix("-again")


def _files(folder: PieceFolder) -> list[Path]:
    return [path for path in folder.path.glob("*.*") if _OURS.fullmatch(path.name)]


def _is_ours(folder: PieceFolder, mine: str, *, claim: bool) -> bool:
    """Whether what the database does not know is nobody's: not where the folder's pieces are another database's.

    Args:
        folder: of the pieces' files.
        mine: names the database that is open.
        claim: whether the folder is this database's where nothing is said.
    """
    marker = folder.path / _OWNER
    try:
        owner = marker.read_text(encoding="utf-8") if marker.exists() else ""
        if not owner and claim and folder.path.is_dir():
            marker.write_text(mine, encoding="utf-8")
            return True
    except OSError as error:
        _log.warning("%s: %s", marker, error)
        return False
    if owner and owner != mine:
        _log.warning("%s keeps the pieces of another database: only those of this one are tidied", folder.path)
    return owner == mine


def _delete(folder: PieceFolder, known: set[str], unfinished: set[str], budget_bytes: int, *, strays: bool) -> int:
    oldest_first = []
    deleted = total = 0
    for path in _files(folder):
        try:
            facts = path.stat()
        except OSError:  # gone meanwhile
            continue
        piece_id = _piece_id(path)
        fresh = time.time() - facts.st_mtime < _FRESH_S
        if piece_id not in known:
            if strays and not fresh:
                path.unlink(missing_ok=True)
                deleted += 1
        elif path.suffix in {".wav", ".ogg"}:
            total += facts.st_size
            if piece_id not in unfinished and not fresh:
                oldest_first.append((facts.st_mtime, facts.st_size, path))
    for _, size, path in sorted(oldest_first):
        if total <= budget_bytes:
            break
        path.unlink(missing_ok=True)
        total -= size
        deleted += 1
    return deleted
