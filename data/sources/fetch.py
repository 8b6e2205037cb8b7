"""Fetch a source of the registry: download, check every file against its sha256, and keep only those."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from data.catalogue import write_atomically
from data.errors import CorpusProblem
from data.importer import Offer
from data.midi import MAX_BYTES
from data.sources import Source
from data.sources.download import Progress, download

ARCHIVE_LIMIT_BYTES = 2_000_000_000
_MAX_MEMBERS = 200_000


def fetch(
    source: Source,
    folder: Path,
    *,
    url: str = "",
    local: Path | None = None,
    progress: Progress = lambda _done, _total: None,
) -> list[Offer]:
    """Make sure that every file of a source lies, verified, under `folder`, and offer them for import.

    Args:
        source: from the registry.
        folder: each source gets a folder of its name in it.
        url: a mirror of the archive, instead of the registry's address; what it gives is checked all the same.
        local: an archive or a folder that is here already, instead of any download.
        progress: called while downloading.

    Returns:
        one offer for each file, with the registry's licence, credit, title and composer.

    Raises:
        CorpusProblem: it cannot be downloaded, or a file is missing or is not the one in the registry. Nothing of a
            source is kept then but a download to go on with.
    """
    home = folder / source.name
    if not _complete(source, home):
        _store(home, _collect(source, folder, url, local, progress))
    return [
        Offer(
            path=home / file.path.name,
            source=source.name,
            licence=source.licence,
            credit=source.credit,
            title=file.title,
            composer=file.composer,
            sha256=file.sha256,
        )
        for file in source.files
    ]


def _complete(source: Source, home: Path) -> bool:
    paths = {file.sha256: home / file.path.name for file in source.files}
    return all(path.is_file() and _sha256(path.read_bytes()) == digest for digest, path in paths.items())


def _collect(source: Source, folder: Path, url: str, local: Path | None, progress: Progress) -> dict[str, bytes]:
    """File name -> content of every file of the source, all verified."""
    if local is not None and local.is_dir():
        return _verified(source, _folder_files(source, local))
    if local is not None:
        archive = local
    elif url or source.url:
        archive = folder / f"{source.name}-{source.revision or 'latest'}.tar.gz"
        download(url or source.url, archive, limit_bytes=ARCHIVE_LIMIT_BYTES, progress=progress)
    else:
        raise CorpusProblem(
            f"{source.title} has no archive to fetch: get the files from {source.homepage} and say --from FOLDER."
        )
    try:
        _check_archive(source, archive)
        found = _verified(source, _archive_files(source, archive))
    except CorpusProblem:
        if local is None:  # else the next start would take the same bad archive again
            archive.unlink(missing_ok=True)
        raise
    if local is None:
        archive.unlink()
    return found


def _check_archive(source: Source, archive: Path) -> None:
    if not archive.is_file():
        raise CorpusProblem(f"There is no file or folder {archive}.")
    if not source.archive_sha256:
        return
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != source.archive_sha256:
        raise CorpusProblem(f"The archive of {source.name} is not the one that was registered (sha256 {digest[:12]}…).")


def _folder_files(source: Source, folder: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    wanted = {file.path.name for file in source.files}
    for path in sorted(folder.rglob("*")):
        if path.name in wanted and path.is_file() and path.stat().st_size <= MAX_BYTES:
            yield PurePosixPath(path.name), path.read_bytes()


def _archive_files(source: Source, archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Regular files of the archive whose name the registry has, read to memory: no path of the archive is ever used."""
    wanted = {file.path.name for file in source.files}
    try:
        with (
            gzip.open(archive, "rb") as unpacked,
            tarfile.open(fileobj=_Bounded(unpacked, source.unpacked_limit_bytes), mode="r|") as tar,
        ):
            for number, member in enumerate(tar):
                if number >= _MAX_MEMBERS:
                    raise CorpusProblem(f"The archive of {source.name} has more files than is plausible.")
                path = PurePosixPath(member.name)
                if path.name in wanted and member.isreg() and member.size <= MAX_BYTES:
                    content = tar.extractfile(member)
                    if content is not None:
                        yield path, content.read()
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise CorpusProblem(f"{archive.name} is damaged or is no .tar.gz archive: get it anew.") from error


class _Bounded(io.RawIOBase):
    """Reads through until too much was unpacked: a small archive can hide any amount of zeros."""

    def __init__(self, inner: gzip.GzipFile, limit_bytes: int) -> None:
        self._inner = inner
        self._left = limit_bytes

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes.

        Raises:
            CorpusProblem: the limit is passed.
        """
        block = self._inner.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise CorpusProblem("The archive unpacks to more than is plausible: it is not what was registered.")
        return block


def _verified(source: Source, found: Iterator[tuple[PurePosixPath, bytes]]) -> dict[str, bytes]:
    """File name -> content, every file of the registry and nothing else.

    Raises:
        CorpusProblem: a file is missing or differs.
    """
    digests = {file.path.name: file.sha256 for file in source.files}
    kept: dict[str, bytes] = {}
    differing: set[str] = set()
    for path, content in found:
        if _sha256(content) == digests[path.name]:
            kept[path.name] = content
        else:  # another file of the same name may still be the right one
            differing.add(path.name)
    differing -= kept.keys()
    if differing:
        raise CorpusProblem(
            f"{len(differing)} files of {source.name} are not those of the registry, the first is "
            f"{min(differing)}: nothing was taken."
        )
    missing = digests.keys() - kept.keys()
    if missing:
        raise CorpusProblem(
            f"{len(missing)} files of {source.name} are missing, the first is {min(missing)}: nothing was taken."
        )
    return kept


def _store(home: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        write_atomically(home / name, content)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
