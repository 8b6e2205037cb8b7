"""Which processes are alive: each one that has a history open holds a lock on a file of its own.

The operating system drops the lock when the process ends, in whatever way, so that a request whose session holds no
lock any more was left behind. (A process number would not do: it is used again.)
"""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path


class Session:
    """This process's life, as other processes see it. `close` ends it."""

    def __init__(self, folder: Path) -> None:
        self.id = secrets.token_hex(8)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{self.id}.lock"
        # Not inherited by programs that this process starts: they must not keep the session alive.
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def close(self) -> None:
        """End the session: what it left unfinished can be recovered by another."""
        self._path.unlink(missing_ok=True)
        os.close(self._file)

    def alive(self, session_id: str) -> bool:
        """Whether the process of that session still runs (this one does)."""
        if session_id == self.id:
            return True
        path = self._folder / f"{session_id}.lock"
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two who look see no owner in each other
        except BlockingIOError:
            return True
        else:
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(file)
