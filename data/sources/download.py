"""Download one large file over HTTP; what broke off goes on where it stopped (RFC 9110, section 14)."""

from __future__ import annotations

import contextlib
import http.client
import logging
import re
import ssl
import string
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO

from data.errors import CorpusProblem

_log = logging.getLogger(__name__)

ATTEMPTS = 5
TIMEOUT_S = 30.0
_BLOCK_BYTES = 1 << 16
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all if the server says


def download(
    url: str,
    target: Path,
    *,
    limit_bytes: int,
    progress: Progress = lambda _done, _total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Download `url` to `target`. A broken-off download is kept beside it as `.part` and continued, now or next time.

    Only the part of the same content is continued: the server's ETag goes back in If-Range. A server that does not know
    ranges is asked for the whole again.

    Args:
        url: http or https.
        target: written in one move when complete.
        limit_bytes: a longer answer is refused.
        progress: called after each block.
        sleep: waits between attempts, seconds.

    Raises:
        CorpusProblem: not an address, not found, too large, the disk is full, or still broken after five attempts.
    """
    address, why = _address(url), ""
    for attempt in range(ATTEMPTS):
        try:
            if _continue(address, target, limit_bytes, progress):
                return
            why = "it broke off"
        except urllib.error.HTTPError as error:
            error.close()
            why = f"it answered {error.code} {error.reason}"
            if error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # there is no more of it than is here already
                _part(target).unlink(missing_ok=True)
            elif error.code < HTTPStatus.INTERNAL_SERVER_ERROR and error.code != HTTPStatus.TOO_MANY_REQUESTS:
                raise CorpusProblem(f"{url} answered {error.code} {error.reason}: is it still there?") from error
        except (
            urllib.error.URLError,
            http.client.HTTPException,
            ssl.SSLError,
            TimeoutError,
            ConnectionError,
        ) as error:
            cause = getattr(error, "reason", error)
            why = getattr(cause, "strerror", None) or str(cause)
        except OSError as error:
            raise CorpusProblem(f"{target} could not be written: {error.strerror}.") from error
        _log.info("%s: %s; attempt %d of %d", url, why, attempt + 1, ATTEMPTS)
        if attempt + 1 < ATTEMPTS:
            sleep(2.0**attempt)
    raise CorpusProblem(
        f"{url} could not be reached or kept breaking off ({why}): start again later, it goes on from there."
    )


def _address(url: str) -> str:
    """The URL as HTTP takes it: letters that an address cannot hold are escaped, as a browser does."""
    with contextlib.suppress(ValueError):  # brackets, the port, an empty label or bytes that are no text
        parts = urllib.parse.urlsplit(url)
        if parts.scheme in {"http", "https"} and (parts.hostname or "").encode("idna") and parts.port != 0:
            return urllib.parse.quote(url, safe=string.punctuation)
    raise CorpusProblem(f"'{url}' is not an address to download from.")


def _part(target: Path) -> Path:
    """Where a download is kept until it is complete."""
    return target.with_name(target.name + ".part")


def _continue(url: str, target: Path, limit_bytes: int, progress: Progress) -> bool:
    """One attempt, from where the last one stopped. Returns whether the file is complete now."""
    part, tag_file = _part(target), target.with_name(target.name + ".etag")
    target.parent.mkdir(parents=True, exist_ok=True)
    have = part.stat().st_size if part.is_file() else 0
    tag = tag_file.read_text() if tag_file.is_file() else ""
    request = urllib.request.Request(url, headers={"User-Agent": "MusicLSTM", "Accept-Encoding": "identity"})  # noqa: S310 -- http(s) was checked
    if have and tag:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 -- http(s) was checked
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        continuing = response.status == 206 and match is not None and int(match[1]) == have
        if not continuing:
            have = 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdigit() else None
        tag_file.write_text(_strong_tag(response.headers.get("ETag", "")))
        with part.open("ab" if continuing else "wb") as file:
            have = _copy(response, file, have, total, limit_bytes, progress)
    if total is not None and have < total:
        return False
    part.replace(target)
    tag_file.unlink(missing_ok=True)
    return True


def _copy(
    response: http.client.HTTPResponse,
    file: BinaryIO,
    have: int,
    total: int | None,
    limit_bytes: int,
    progress: Progress,
) -> int:
    """Copy the body behind `have` bytes, each block as it comes, so that a kill loses none that was shown as done.

    Returns:
        the bytes in all, fewer than `total` if it broke off.
    """
    while total is None or have < total:
        if max(have, total or 0) > limit_bytes:
            raise CorpusProblem(
                f"The download is larger than {limit_bytes // 1_000_000} MB: it is not what was expected."
            )
        block = response.read1(_BLOCK_BYTES)
        if not block:
            break
        file.write(block)
        file.flush()
        have += len(block)
        progress(have, total)
    return have


def _strong_tag(tag: str) -> str:
    """A weak ETag must not be used with If-Range (RFC 9110, section 13.1.5)."""
    return "" if tag.startswith("W/") else tag
