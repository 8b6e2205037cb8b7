"""The registry of open sources: what is trained on, under which licence, and exactly which files.

Each source is a pair of files: `NAME.toml` says where it is from and on what terms, `NAME.tsv` names every file that is
used with its sha256, title and composer. Nothing else is ever taken from an archive.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from data.catalogue import read_table
from data.errors import CorpusProblem

_REGISTRY = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source: its path in the archive (below the top folder), and what it is."""

    path: PurePosixPath
    sha256: str
    title: str
    composer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One open source.

    Attributes:
        name: as it is typed: `./run data fetch NAME`.
        title: for people.
        licence: SPDX identifier.
        credit: the line that the licence asks for.
        revision: the pinned commit, or "".
        url: of the archive (.tar.gz), or "" where there is none.
        homepage: where people find it.
        archive_sha256: of the archive, or "" where its bytes are not promised to stay the same.
        licence_file: the notice kept in this repository, or "".
        unpacked_limit_bytes: no more than this is unpacked.
        skip: files that are left out on purpose, and why.
        files: what is used.
    """

    name: str
    title: str
    licence: str
    credit: str
    revision: str
    url: str
    homepage: str
    archive_sha256: str
    licence_file: str
    unpacked_limit_bytes: int
    skip: dict[str, str]
    files: tuple[SourceFile, ...]


def source_names() -> list[str]:
    """All names, in alphabetical order."""
    return sorted(path.stem for path in _REGISTRY.glob("*.toml"))


@cache
def source(name: str) -> Source:
    """One source of the registry.

    Raises:
        CorpusProblem: there is no source of that name; the sentence says which there are.
    """
    if name not in source_names():
        raise CorpusProblem(f"There is no source named '{name}': there are {', '.join(source_names())}.")
    with (_REGISTRY / f"{name}.toml").open("rb") as file:
        words = tomllib.load(file)
    rows = read_table(_REGISTRY / f"{name}.tsv")
    return Source(
        name=name,
        title=words["title"],
        licence=words["licence"],
        credit=words["credit"],
        revision=words["revision"],
        url=words["url"],
        homepage=words["homepage"],
        archive_sha256=words.get("archive_sha256", ""),
        licence_file=words["licence_file"],
        unpacked_limit_bytes=words["unpacked_limit_mb"] * 1_000_000,
        skip=words["skip"],
        files=tuple(
            SourceFile(PurePosixPath(row["file"]), row["sha256"], row["title"], row["composer"]) for row in rows
        ),
    )
