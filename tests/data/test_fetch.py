from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import re
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest

from data.catalogue import read_table
from data.errors import CorpusProblem
from data.licensing import ACCEPTED
from data.sources import Source, SourceFile, source, source_names
from data.sources.download import download
from data.sources.fetch import fetch

CONTENTS = {f"song{number}.mid": bytes([number]) * 50_000 for number in range(4)}


def archive(contents: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=0) as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"music-abc123/midi/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        for member in extra or []:
            tar.addfile(member, io.BytesIO(b"x" * member.size))
    return buffer.getvalue()


def registered(contents: dict[str, bytes] = CONTENTS) -> Source:
    return Source(
        name="test",
        title="Test music",
        licence="CC0-1.0",
        credit="Music by nobody",
        revision="abc123",
        url="",
        homepage="https://example.org",
        archive_sha256="",
        licence_file="",
        unpacked_limit_bytes=10_000_000,
        skip={},
        files=tuple(
            SourceFile(PurePosixPath("midi") / name, hashlib.sha256(content).hexdigest(), name[:-4], "Nobody")
            for name, content in contents.items()
        ),
    )


class Server(ThreadingHTTPServer):
    """Serves one body; understands ranges; hangs up after `break_after` bytes of its first `breaks` answers."""

    def __init__(self, body: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = body
        self.etag = '"one"'
        self.ranges = True
        self.chunked = False  # the length is not said, as GitHub does for its archives
        self.breaks = 0
        self.break_after = 60_000
        self.pause_after = 0  # bytes of an answer; 0 for none
        self.statuses: list[int] = []  # answered instead, first come
        self.asked: list[str] = []  # the Range of each request
        self.paths: list[str] = []
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/music.tar.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        asked = self.headers.get("Range", "")
        server.asked.append(asked)
        server.paths.append(self.path)
        if server.statuses:
            self.send_error(server.statuses.pop(0))
            return
        if server.chunked:
            self._send_chunks()
            return
        start = 0
        match = re.fullmatch(r"bytes=(\d+)-", asked)
        if match and int(match[1]) >= len(server.body):
            self.send_error(416)
            return
        if match and server.ranges and self.headers.get("If-Range") == server.etag:
            start = int(match[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        else:
            self.send_response(200)
        body = server.body[start:]
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            body = body[: server.break_after]
        if server.pause_after:
            self.wfile.write(body[: server.pause_after])
            time.sleep(0.2)
        self.wfile.write(body[server.pause_after :])
        server.sent += len(body)

    def _send_chunks(self) -> None:
        server = self.server
        self.protocol_version, self.close_connection = "HTTP/1.1", True
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        size = 30_000
        for start in range(0, len(server.body), size):
            block = server.body[start : start + size]
            self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
            if server.breaks:
                server.breaks -= 1
                return
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(archive(CONTENTS))
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def get(server: Server, target: Path, limit_bytes: int = 10_000_000) -> list[float]:
    waits: list[float] = []
    download(server.url, target, limit_bytes=limit_bytes, sleep=waits.append)
    return waits


def test_a_source_is_downloaded_verified_and_offered(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    offers = fetch(registered(), tmp_path, url=server.url, progress=lambda done, total: seen.append((done, total)))
    assert {offer.path.name: offer.path.read_bytes() for offer in offers} == CONTENTS
    assert {(o.licence, o.credit, o.composer, o.source) for o in offers} == {
        ("CC0-1.0", "Music by nobody", "Nobody", "test")
    }
    assert seen[-1] == (len(server.body), len(server.body))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["test"]


def test_what_is_here_already_is_not_downloaded_again(server: Server, tmp_path: Path) -> None:
    fetch(registered(), tmp_path, url=server.url)
    fetch(registered(), tmp_path, url=server.url)
    assert len(server.asked) == 1
    (tmp_path / "test" / "song1.mid").write_bytes(b"spoilt")
    fetch(registered(), tmp_path, url=server.url)
    assert len(server.asked) == 2
    assert (tmp_path / "test" / "song1.mid").read_bytes() == CONTENTS["song1.mid"]


def test_a_broken_download_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    waits = get(server, tmp_path / "music.tar.gz")
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body
    assert server.asked == ["", "bytes=60000-", "bytes=120000-"]
    assert server.sent == len(server.body)
    assert waits == [1.0, 2.0]
    assert [path.name for path in tmp_path.iterdir()] == ["music.tar.gz"]


def test_what_came_is_shown_and_kept_at_once_on_a_slow_line(server: Server, tmp_path: Path) -> None:
    server.pause_after = 10_000
    part = tmp_path / "music.tar.gz.part"
    seen: list[tuple[int, int]] = []
    download(
        server.url,
        tmp_path / "music.tar.gz",
        limit_bytes=10_000_000,
        progress=lambda done, _: seen.append((done, part.stat().st_size)),
    )
    assert seen[0][0] <= 10_000
    assert all(done == kept for done, kept in seen)  # a kill would lose nothing that was shown
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body


def test_a_later_start_goes_on_too(server: Server, tmp_path: Path) -> None:
    server.breaks = 5
    server.break_after = 10_000
    with pytest.raises(CorpusProblem, match="it goes on from there"):
        get(server, tmp_path / "music.tar.gz")
    get(server, tmp_path / "music.tar.gz")
    assert server.asked[-1] == "bytes=50000-"
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body


def test_a_download_that_was_complete_but_not_yet_moved_does_not_stand_in_the_way(
    server: Server, tmp_path: Path
) -> None:
    (tmp_path / "music.tar.gz.part").write_bytes(server.body)
    (tmp_path / "music.tar.gz.etag").write_text(server.etag)
    get(server, tmp_path / "music.tar.gz")
    assert server.asked == [f"bytes={len(server.body)}-", ""]
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body
    assert [path.name for path in tmp_path.iterdir()] == ["music.tar.gz"]


def test_without_a_network_the_reason_is_said(tmp_path: Path) -> None:
    with pytest.raises(CorpusProblem, match=r"could not be reached.*\(Connection refused\): start again later"):
        download("http://127.0.0.1:1/music.tar.gz", tmp_path / "x", limit_bytes=10, sleep=lambda _: None)


def test_changed_content_is_downloaded_anew(server: Server, tmp_path: Path) -> None:
    server.breaks = 5
    server.break_after = 1000
    with pytest.raises(CorpusProblem):
        get(server, tmp_path / "music.tar.gz")
    server.body, server.etag = b"other" * 50_000, '"two"'
    get(server, tmp_path / "music.tar.gz")
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body


def test_a_server_without_ranges_is_asked_for_the_whole(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, 1
    get(server, tmp_path / "music.tar.gz")
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body


def test_a_server_that_does_not_say_the_length_is_read_to_the_end_and_asked_again_where_it_broke_off(
    server: Server, tmp_path: Path
) -> None:
    server.chunked, server.breaks = True, 1
    assert get(server, tmp_path / "music.tar.gz") == [1.0]
    assert (tmp_path / "music.tar.gz").read_bytes() == server.body


@pytest.mark.parametrize(("statuses", "says"), [([404], "404"), ([403], "403"), ([503] * 5, "could not be reached")])
def test_an_error_of_the_server_is_one_sentence(server: Server, tmp_path: Path, statuses: list[int], says: str) -> None:
    server.statuses = statuses
    with pytest.raises(CorpusProblem, match=says):
        get(server, tmp_path / "music.tar.gz")


def test_a_busy_server_is_asked_again(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    assert get(server, tmp_path / "music.tar.gz") == [1.0, 2.0]


def test_too_large_a_download_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CorpusProblem, match="larger than"):
        get(server, tmp_path / "music.tar.gz", limit_bytes=1000)


def test_an_address_may_have_letters_and_spaces(server: Server, tmp_path: Path) -> None:
    download(server.url + "/my musik-ä%20.tar.gz", tmp_path / "x", limit_bytes=10_000_000)
    assert server.paths == ["/music.tar.gz/my%20musik-%C3%A4%20.tar.gz"]
    assert (tmp_path / "x").read_bytes() == server.body


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "music.tar.gz",
        "https://[foo/x.tar.gz",
        "http://127.0.0.1:x/a",
        "http://127.0.0.1:99999/a",
        "http://foo..bar/a",
        "http:///a",
    ],
)
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(CorpusProblem, match="not an address"):
        download(url, tmp_path / "x", limit_bytes=10)


def link(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


def plain(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


BAD = {
    "a changed file": (archive(CONTENTS | {"song1.mid": b"changed"}), "not those of the registry"),
    "a missing file": (archive({"song0.mid": CONTENTS["song0.mid"]}), "3 files of test are missing"),
    "not an archive": (b"<html>Not here</html>", "damaged"),
    "half an archive": (archive(CONTENTS)[:-30_000], "damaged"),
    "nothing but zeros": (gzip.compress(bytes(40_000_000)), "missing"),
    "a large file in front": (
        archive({}, [plain("music-abc123/zeros", 20_000_000)]),
        "more than is plausible",
    ),
    "a link by a registered name": (
        archive({k: v for k, v in CONTENTS.items() if k != "song3.mid"}, [link("music-abc123/midi/song3.mid")]),
        "1 files of test are missing",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_in_one_sentence_and_nothing_is_kept(
    server: Server, tmp_path: Path, name: str
) -> None:
    server.body, says = BAD[name]
    with pytest.raises(CorpusProblem, match=says) as caught:
        fetch(registered(), tmp_path, url=server.url)
    assert str(caught.value).endswith(".")
    assert list(tmp_path.iterdir()) == []


def test_paths_of_the_archive_lead_nowhere(server: Server, tmp_path: Path) -> None:
    inner = tmp_path / "deep" / "sources"
    server.body = archive(CONTENTS, [plain("../../escaped.mid", 5), plain("/escaped.mid", 5), link("deep/link")])
    fetch(registered(), inner, url=server.url)
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == sorted(CONTENTS)


def test_the_sha256_of_an_archive_is_checked_where_it_is_known(server: Server, tmp_path: Path) -> None:
    right = hashlib.sha256(server.body).hexdigest()
    fetch(dataclasses.replace(registered(), archive_sha256=right), tmp_path / "right", url=server.url)
    with pytest.raises(CorpusProblem, match="not the one that was registered"):
        fetch(dataclasses.replace(registered(), archive_sha256="0" * 64), tmp_path / "wrong", url=server.url)


def test_a_local_folder_or_archive_serves_as_well(tmp_path: Path) -> None:
    folder = tmp_path / "here" / "sub"
    folder.mkdir(parents=True)
    for name, content in CONTENTS.items():
        (folder / name).write_bytes(content)
    assert len(fetch(registered(), tmp_path / "one", local=tmp_path / "here")) == 4
    packed = tmp_path / "music.tar.gz"
    packed.write_bytes(archive(CONTENTS))
    assert len(fetch(registered(), tmp_path / "two", local=packed)) == 4
    assert packed.is_file()
    (tmp_path / "music.zip").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(CorpusProblem, match=r"^music\.zip is damaged or is no \.tar\.gz archive"):
        fetch(registered(), tmp_path / "four", local=tmp_path / "music.zip")
    with pytest.raises(CorpusProblem, match="no archive to fetch"):
        fetch(registered(), tmp_path / "three")


def test_an_unknown_source_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(CorpusProblem, match="freedoom, helland, malandro, mutopia"):
        source("freedom")


@pytest.mark.parametrize("name", source_names())
def test_the_registry_is_complete_and_credited(name: str) -> None:
    found = source(name)
    assert found.licence in ACCEPTED
    assert found.credit
    assert found.files
    assert (
        len({file.path.name for file in found.files}) == len({file.sha256 for file in found.files}) == len(found.files)
    )
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) and file.title for file in found.files)
    assert all(not file.path.is_absolute() and ".." not in file.path.parts for file in found.files)
    assert not [file for file in found.files for left_out in found.skip if left_out in file.path.name]
    if found.url:
        assert found.url.startswith("https://")
        assert found.revision in found.url
    root = Path(__file__).parents[2]
    assert not found.licence_file or (root / found.licence_file).is_file()
    said = (root / "data" / "SOURCES.md").read_text(encoding="utf-8")
    for words in (found.title, found.licence, found.credit, found.revision, f"data/sources/{name}.tsv"):
        assert words in said, words
    assert read_table(root / "data" / "sources" / f"{name}.tsv")
