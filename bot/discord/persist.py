"""Asking Discord again when it refuses something for the moment."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import discord

from bot.discord import errors
from data.errors import MusicLSTMError

log = logging.getLogger(__name__)

T = TypeVar("T")

ATTEMPTS = 4
RETRY_AFTER_MAX_S = 60.0  # longer rate limits are for the next restart, not for a waiting person


class TooLarge(MusicLSTMError):
    """Discord takes less than it said; smaller files may pass."""


async def persist(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat what Discord refuses for the moment: rate limits, its own failures, a lost connection.

    discord.py itself repeats most 429 and 5xx answers. This is for what it raises all the same, such as a 429 that did
    not pass through Discord's proxy, and for a connection that drops during an upload.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await call()
        except discord.HTTPException as error:
            if error.status == 413 or error.code == errors.REQUEST_TOO_LARGE:
                raise TooLarge("Discord did not take files of that size.") from error
            pause_s = _pause_s(error, attempt)
            if pause_s is None or attempt == ATTEMPTS:
                raise
            log.warning("Discord answered %s; attempt %d follows in %.1f s", error.status, attempt + 1, pause_s)
        except errors.TRANSIENT as error:
            if attempt == ATTEMPTS:
                raise
            pause_s = float(2 ** (attempt - 1))
            log.warning("%s; attempt %d follows in %.1f s", error, attempt + 1, pause_s)
        await asyncio.sleep(pause_s)
    raise AssertionError("unreachable: the last attempt returns or raises")


def _pause_s(error: discord.HTTPException, attempt: int) -> float | None:
    """Seconds until the same call may succeed, or None when it never will."""
    if error.status == 429:
        # https://discord.com/developers/docs/topics/rate-limits#exceeding-a-rate-limit-rate-limit-response-structure
        try:
            wait_s = float(error.response.headers.get("Retry-After", 2 ** (attempt - 1)))
        except ValueError:
            wait_s = 1.0
        return wait_s if wait_s <= RETRY_AFTER_MAX_S else None
    return float(2 ** (attempt - 1)) if error.status >= 500 else None
