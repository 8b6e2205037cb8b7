"""A heartbeat in a file: what Docker and monitors ask to know whether the bot on this machine is alive.

The bot writes the time while it is connected; `./run health` reads it. A file needs no port, and a bot whose event loop
hangs, or that lost Discord, stops writing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)

BEAT_S = 10.0
STALE_S = 60.0  # Discord's gateway may take half a minute to resume


async def keep_beating(path: Path, alive: Callable[[], bool]) -> None:
    """Write the heartbeat every BEAT_S seconds for as long as the task lives.

    Args:
        path: the file; its folder exists.
        alive: whether there is anything to be proud of, such as a connection.
    """
    while True:
        if alive():
            try:
                await asyncio.to_thread(path.touch)
            except OSError as error:
                _log.warning("the heartbeat cannot be written: %s", error)
        await asyncio.sleep(BEAT_S)


def check(path: Path) -> tuple[bool, str]:
    """Whether the bot wrote lately, and a sentence for people."""
    try:
        age_s = time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return False, "The bot has not run here."
    if age_s > STALE_S:
        return False, f"The bot was last connected {age_s:.0f} seconds ago."
    return True, "The bot is connected."
