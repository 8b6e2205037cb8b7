from __future__ import annotations

import csv
import hashlib
import io
import os
import random
import re
import threading
from dataclasses import replace
from pathlib import Path

import mido
import pytest

from data.catalogue import midi_path, read_catalogue, read_refusals
from data.corpus import corpus_hash, load_corpus
from data.errors import CorpusProblem
from data.half_time import half_time
from data.importer import Added, Offer, add, offers_from_catalogue, offers_from_folder
from data.keys import transpose
from data.midi import read_midi, write_midi
from data.moods import Mood
from data.report import report, set_mood, write_plots
from data.score import Note, Part, Score


def melody(seed: int, *, notes: int = 120, tempo_bpm: float = 80, step: int = 6, pulse: bool = False) -> Score:
    """A random walk on a minor scale."""
    random_ = random.Random(seed)
    degree, found = 14, []
    for index in range(notes):
        degree = min(27, max(0, degree + random_.choice((-3, -2, -1, 1, 2, 3))))
        pitch = 36 + 12 * (degree // 7) + (0, 2, 3, 5, 7, 8, 10)[degree % 7]
        found.append(Note(index * step, Part.KEYS, pitch, step, random_.randint(50, 100)))
        if pulse:
            found.append(Note(index * step, Part.PULSE, 40, step, 90))
    return Score(tuple(sorted(found)), tempo_bpm)


def save(path: Path, score: Score, title: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_midi(score, title=title))
    return path


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    for number in range(3):
        save(folder / f"song{number}.mid", melody(number), f"Song {number}")
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return tmp_path / "corpus"


def add_folder(corpus: Path, folder: Path, **words: object) -> Added:
    return add(corpus, offers_from_folder(folder, licence="CC0-1.0", credit="Music by nobody", **words))  # type: ignore[arg-type]


def test_a_folder_is_added_with_licence_credit_and_mood(corpus: Path, music: Path) -> None:
    added = add_folder(corpus, music, composer="Ann Onym", source="ours")
    assert len(added.accepted) == 3
    pieces = load_corpus(corpus)
    assert [piece.title for piece in pieces] == ["Song 0", "Song 1", "Song 2"]
    assert {(p.source, p.licence, p.credit, p.composer) for p in pieces} == {
        ("ours", "CC0-1.0", "Music by nobody", "Ann Onym")
    }
    assert [piece.score for piece in pieces] == [melody(number) for number in range(3)]
    assert all(entry.confidence < 1 for entry in read_catalogue(corpus))


def test_no_licence_no_import(music: Path) -> None:
    with pytest.raises(CorpusProblem, match="No licence, no import"):
        offers_from_folder(music, licence="", credit="x")


@pytest.mark.parametrize(
    ("licence", "says"),
    [
        ("CC-BY-NC-4.0", "not a licence"),
        ("all rights reserved", "not a licence"),
        ("CC-BY-4", "Did you mean CC-BY-4.0"),
    ],
)
def test_a_licence_that_does_not_allow_it_is_refused(music: Path, licence: str, says: str) -> None:
    with pytest.raises(CorpusProblem, match=says):
        offers_from_folder(music, licence=licence, credit="x")


@pytest.mark.parametrize(
    ("licence", "spdx"),
    [("Public Domain", "LicenseRef-Public-Domain"), ("cc0", "CC0-1.0"), ("cc by 4.0", "CC-BY-4.0"), (" MIT ", "MIT")],
)
def test_everyday_names_of_licences_become_spdx(music: Path, licence: str, spdx: str) -> None:
    assert {offer.licence for offer in offers_from_folder(music, licence=licence, credit="x")} == {spdx}


def test_a_folder_of_too_many_files_is_refused(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data.importer.MAX_FILES", 2)
    with pytest.raises(CorpusProblem, match="has 3 MIDI files: add at most 2"):
        offers_from_folder(music, licence="MIT", credit="x")


def test_no_credit_no_import(music: Path) -> None:
    with pytest.raises(CorpusProblem, match="whom to thank"):
        offers_from_folder(music, licence="CC0-1.0", credit=" ")


def test_adding_twice_changes_nothing(corpus: Path, music: Path) -> None:
    add_folder(corpus, music)
    before = {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()}
    again = add_folder(corpus, music)
    assert (len(again.accepted), len(again.known), len(again.refused)) == (0, 3, 0)
    assert {path: path.read_bytes() for path in corpus.rglob("*") if path.is_file()} == before


def drums_only() -> bytes:
    file, track = mido.MidiFile(), mido.MidiTrack()
    for _ in range(40):
        track.append(mido.Message("note_on", channel=9, note=36, velocity=80))
        track.append(mido.Message("note_off", channel=9, note=36, time=240))
    file.tracks.append(track)
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def test_every_file_is_accepted_or_quarantined_with_a_reason(corpus: Path, music: Path) -> None:
    good = (music / "song0.mid").read_bytes()
    (music / "z_truncated.mid").write_bytes(good[:-20])
    (music / "z_zero_division.mid").write_bytes(good[:12] + b"\0\0" + good[14:])
    (music / "z_text.mid").write_text("not music")
    (music / "z_empty.midi").write_bytes(b"")
    (music / "z_drums.mid").write_bytes(drums_only())
    (music / "z_large.mid").write_bytes(good + bytes(2 * 2**20))
    save(music / "short.mid", melody(8, notes=32))
    save(music / "z_short.mid", melody(9, notes=31))
    save(music / "brief.mid", melody(10, notes=40, tempo_bpm=120, step=3))
    save(music / "z_brief.mid", melody(11, notes=40, tempo_bpm=122, step=3))
    save(music / "endless.mid", melody(12, notes=100, tempo_bpm=60, step=432))
    save(music / "z_endless.mid", melody(13, notes=100, tempo_bpm=59, step=432))
    save(music / "z_transposed.mid", transpose(melody(1), 5))
    save(music / "z_slower.mid", Score(melody(2, step=12).notes, 60))
    added = add_folder(corpus, music)
    assert len(added.accepted) == 3 + 3  # and those that are just short, brief and endless enough
    reasons = {refusal.file: refusal.reason for refusal in read_refusals(corpus)}
    expected = {
        "z_truncated.mid": "truncated",
        "z_zero_division.mid": "zero division",
        "z_text.mid": "not a MIDI file",
        "z_empty.midi": "not a MIDI file",
        "z_drums.mid": "besides drums",
        "z_large.mid": "larger than 2 MiB",
        "z_short.mid": "too few notes: 31",
        "z_brief.mid": "absurd duration",
        "z_endless.mid": "absurd duration",
        "z_transposed.mid": "near-duplicate of music/song1.mid",
        "z_slower.mid": "near-duplicate of music/song2.mid",
    }
    assert set(reasons) == set(expected)
    for name, words in expected.items():
        assert words in reasons[name], name


def test_what_is_no_regular_file_is_quarantined_and_waited_for_by_nobody(corpus: Path, music: Path) -> None:
    add_folder(corpus, music)
    os.mkfifo(music / "pipe.mid")
    (music / "folder.mid").mkdir()
    added = add_folder(corpus, music)
    assert {refusal.file: refusal.reason for refusal in added.refused} == {
        "folder.mid": "not a regular file",
        "pipe.mid": "not a regular file",
    }


def test_files_of_one_name_in_several_folders_each_keep_their_reason(corpus: Path, music: Path) -> None:
    for album, content in (("one", b"MThd"), ("two", b"")):
        (music / album).mkdir()
        (music / album / "track01.mid").write_bytes(content)
    for _ in range(2):
        add_folder(corpus, music)
        reasons = [refusal.reason for refusal in read_refusals(corpus)]
        assert len(reasons) == 2
        assert any("truncated" in reason for reason in reasons)
        assert any("not a MIDI file" in reason for reason in reasons)


def test_a_mended_file_leaves_the_quarantine(corpus: Path, music: Path) -> None:
    path = music / "song9.mid"
    path.write_bytes(b"")
    add_folder(corpus, music)
    assert [refusal.file for refusal in read_refusals(corpus)] == ["song9.mid"]
    save(path, melody(9))
    assert len(add_folder(corpus, music).accepted) == 1
    assert read_refusals(corpus) == []


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_another_source_of_the_same_bytes_changes_no_terms(corpus: Path, music: Path) -> None:
    theirs = Offer(
        path=music / "song0.mid", source="theirs", licence="CC-BY-SA-4.0", credit="Music by Ann", title="Dusk"
    )
    add(corpus, [theirs])
    ours = Offer(
        path=save(music / "a.mid", melody(0), "Song 0"), source="ours", licence="MIT", credit="x", composer="B"
    )
    added = add(corpus, [replace(ours, half_time=True)])
    (entry,) = read_catalogue(corpus)
    assert added.known == [entry]
    assert (entry.source, entry.file, entry.title) == ("theirs", "song0.mid", "Dusk")
    assert (entry.licence, entry.credit, entry.composer) == ("CC-BY-SA-4.0", "Music by Ann", "B")
    assert not entry.half_time
    (kept,) = added.kept
    assert (kept.file, kept.source, kept.sha256) == ("a.mid", "ours", entry.sha256)
    assert "theirs/song0.mid under CC-BY-SA-4.0" in kept.reason
    assert read_refusals(corpus) == []
    corrected = add(corpus, [replace(theirs, licence="CC-BY-4.0", credit="Music by Ann Onym")])
    assert not corrected.kept
    assert [(e.licence, e.credit) for e in read_catalogue(corpus)] == [("CC-BY-4.0", "Music by Ann Onym")]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_catalogue_says_what_each_file_is(corpus: Path, music: Path, tmp_path: Path) -> None:
    row = {"source": "music", "composer": 'Tyler "Picklehammer" P.', "licence": "Public Domain", "mood": ""}
    table = write_table(
        tmp_path / "table.tsv",
        [
            row | {"file": "song0.mid", "title": 'A "quoted" title', "sha256": sha256(music / "song0.mid").upper()},
            row | {"file": "song1.mid", "title": "Epic", "sha256": "", "mood": "epic"},
            row | {"file": "song2.mid", "title": "Wrong", "sha256": "0" * 64},
            row | {"file": "gone.mid", "title": "Gone", "sha256": ""},
            row | {"file": "song2.mid", "title": "No licence", "licence": "", "sha256": "", "source": "other"},
        ],
    )
    added = add(corpus, list(offers_from_catalogue(tmp_path, table)))
    assert [(e.title, e.composer, e.licence) for e in added.accepted] == [
        ('A "quoted" title', 'Tyler "Picklehammer" P.', "LicenseRef-Public-Domain"),
        ("Epic", 'Tyler "Picklehammer" P.', "LicenseRef-Public-Domain"),
    ]
    assert added.accepted[1].mood is Mood.EPIC
    assert added.accepted[1].confidence == 1.0
    assert "Picklehammer" in added.accepted[0].credit
    assert ["checksum" in r.reason or "missing" in r.reason for r in added.refused] == [True, True, True]
    assert read_catalogue(corpus) == sorted(added.accepted, key=lambda entry: entry.file)


def test_a_table_offers_nothing_from_outside_its_folder(corpus: Path, music: Path, tmp_path: Path) -> None:
    private = save(tmp_path / "private.mid", melody(9))
    (music / "link.mid").symlink_to(private)
    rows = [{"file": file, "licence": "MIT"} for file in ("../private.mid", str(private), "link.mid")]
    added = add(corpus, list(offers_from_catalogue(music, write_table(tmp_path / "table.tsv", rows))))
    assert [refusal.reason for refusal in added.refused] == ["the file is missing or cannot be read"] * 3


def test_a_table_that_a_spreadsheet_saved_is_read(corpus: Path, music: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.tsv", [{"file": "song0.mid", "licence": "MIT", "credit": "x"}])
    table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())  # the mark that they put in front of UTF-8
    assert len(add(corpus, list(offers_from_catalogue(music, table))).accepted) == 1
    catalogue = corpus / "catalogue.tsv"
    catalogue.write_bytes(b"\xef\xbb\xbf" + catalogue.read_bytes().replace(b"\n", b"\r\n"))
    assert [piece.title for piece in load_corpus(corpus)] == ["Song 0"]


def test_a_line_of_a_table_that_names_no_file_is_said(music: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.tsv"
    table.write_text("title\tfile\nonly a title\n")
    with pytest.raises(CorpusProblem, match="names no file"):
        list(offers_from_catalogue(music, table))


def test_a_catalogue_without_licence_is_refused_file_by_file(corpus: Path, music: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.tsv", [{"file": "song0.mid", "title": "x"}])
    added = add(corpus, list(offers_from_catalogue(music, table)))
    assert [refusal.reason[:21] for refusal in added.refused] == ["No licence, no import"]


def test_a_persons_mood_overrides_the_estimate_and_stays(corpus: Path, music: Path) -> None:
    add_folder(corpus, music)
    before = corpus_hash(load_corpus(corpus))
    estimate = read_catalogue(corpus)[1].mood
    wanted = Mood.HOPEFUL if estimate is not Mood.HOPEFUL else Mood.DARK
    set_mood(corpus, "song 1", wanted)
    add_folder(corpus, music)
    pieces = load_corpus(corpus)
    assert pieces[1].mood is wanted
    assert corpus_hash(pieces) != before
    set_mood(corpus, pieces[1].sha256[:8], "auto")
    assert corpus_hash(load_corpus(corpus)) == before


@pytest.mark.parametrize(
    ("piece", "mood", "says"),
    [("nowhere", "dark", "no piece"), ("Song 1", "gloomy", "is no mood"), ("abc", "dark", "no")],
)
def test_a_wrong_word_about_a_mood_is_explained(corpus: Path, music: Path, piece: str, mood: str, says: str) -> None:
    add_folder(corpus, music)
    with pytest.raises(CorpusProblem, match=says):
        set_mood(corpus, piece, mood)


def test_half_time_slows_dense_pieces_and_drops_the_pulse(corpus: Path, tmp_path: Path) -> None:
    dense = save(tmp_path / "dense" / "dense.mid", melody(1, tempo_bpm=200, step=3, pulse=True))
    add(corpus, [Offer(path=dense, source="dense", licence="MIT", half_time=True)])
    (piece,) = load_corpus(corpus)
    assert piece.score == Score(melody(1, step=3).notes, 100)
    assert read_midi(midi_path(corpus, piece.sha256).read_bytes()).score.tempo_bpm == 200
    add(corpus, [Offer(path=dense, source="dense", licence="MIT")])
    assert load_corpus(corpus)[0].score.tempo_bpm == 200
    pulse = Score(tuple(Note(3 * n, Part.PULSE, 40, 3, 90) for n in range(100)), 200)
    assert half_time(pulse) == Score(pulse.notes, 100)  # it has nothing else


def test_at_half_time_the_limits_are_those_of_the_notes_that_are_used(corpus: Path, tmp_path: Path) -> None:
    beats = [Note(6 * index, Part.PULSE, 40, 6, 90) for index in range(200)]
    path = save(tmp_path / "drums.mid", Score(tuple(sorted([*beats, Note(0, Part.PAD, 60, 48, 70)])), 120))
    brief = save(tmp_path / "brief.mid", melody(1, notes=100, tempo_bpm=200, step=1))
    slow = Offer(path=path, source="x", licence="MIT", half_time=True)
    added = add(corpus, [slow, replace(slow, path=brief)])
    assert [refusal.reason[:18] for refusal in added.refused] == ["too few notes: 1, "]
    assert [(entry.file, entry.duration_s) for entry in added.accepted] == [("brief.mid", 10.0)]
    add(corpus, [replace(slow, half_time=False)])
    assert len(add(corpus, [slow]).refused) == 1
    assert [(entry.file, entry.notes) for entry in read_catalogue(corpus)] == [("brief.mid", 100), ("drums.mid", 201)]


def test_at_half_time_copies_are_found_in_the_same_import_as_in_the_next(corpus: Path, tmp_path: Path) -> None:
    offers = [
        Offer(path=save(tmp_path / name, score), source="x", licence="MIT", half_time=True)
        for name, score in (("a.mid", melody(1, pulse=True)), ("b.mid", transpose(melody(1, pulse=True), 3)))
    ]
    (refusal,) = add(corpus, offers).refused
    assert refusal.reason == "near-duplicate of x/a.mid (100% of its phrases)"
    assert add(corpus, offers).refused == [refusal]


@pytest.mark.parametrize("writer", ["another import", "a mood"])
def test_who_changes_a_corpus_waits_for_an_import_to_end(
    corpus: Path, music: Path, tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.catalogue.MOMENT_S", 0.05)
    add_folder(corpus, music)
    one, two = (
        [Offer(path=save(tmp_path / f"{seed}.mid", melody(seed), f"Song {seed}"), source="x", licence="MIT")]
        for seed in (8, 9)
    )
    at_work, waited = threading.Event(), threading.Event()

    def work() -> None:
        at_work.set()
        waited.wait(20)

    first = threading.Thread(target=add, args=(corpus, one), kwargs={"progress": work})
    first.start()
    at_work.wait(20)
    if writer == "a mood":
        set_mood(corpus, "Song 1", "epic", waiting=waited.set)
    else:
        add(corpus, two, waiting=waited.set)
    assert waited.is_set()
    first.join()
    entries = {entry.title: entry.mood_override for entry in read_catalogue(corpus)}
    new = {"Song 8"} if writer == "a mood" else {"Song 8", "Song 9"}
    assert set(entries) == {"Song 0", "Song 1", "Song 2"} | new
    assert entries["Song 1"] == (Mood.EPIC if writer == "a mood" else None)


def test_an_import_writes_down_what_it_has_so_that_a_kill_loses_little(
    corpus: Path, music: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.importer.SAVE_EVERY_S", -1.0)
    (music / "broken.mid").write_bytes(b"MThd")
    seen: list[tuple[int, int]] = []
    offers = offers_from_folder(music, licence="MIT", credit="x")
    add(corpus, offers, progress=lambda: seen.append((len(read_catalogue(corpus)), len(read_refusals(corpus)))))
    assert seen == [(0, 0), (0, 1), (1, 1), (2, 1)]


def test_an_import_that_is_interrupted_keeps_what_it_has(corpus: Path, music: Path) -> None:
    pressed = iter([None, None, KeyboardInterrupt])

    def progress() -> None:
        if key := next(pressed):
            raise key

    with pytest.raises(KeyboardInterrupt):
        add(corpus, offers_from_folder(music, licence="MIT", credit="x"), progress=progress)
    assert [piece.title for piece in load_corpus(corpus)] == ["Song 0", "Song 1"]


def test_a_word_about_a_mood_makes_no_corpus(corpus: Path) -> None:
    # Followed, the advice fills that corpus and no other.
    with pytest.raises(CorpusProblem, match=re.escape(f"There is no music in {corpus}: ") + f".* --corpus {corpus} "):
        set_mood(corpus, "Song 1", "epic")
    assert not corpus.exists()


@pytest.mark.parametrize("damage", ["changed", "missing", "catalogue"])
def test_a_damaged_corpus_is_told_in_one_sentence(corpus: Path, music: Path, damage: str) -> None:
    add_folder(corpus, music)
    path = midi_path(corpus, read_catalogue(corpus)[0].sha256)
    if damage == "changed":
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    elif damage == "missing":
        path.unlink()
    else:
        catalogue = corpus / "catalogue.tsv"
        catalogue.write_text(catalogue.read_text().replace("CC0-1.0", "", 1))
    with pytest.raises(CorpusProblem, match=r"^[^\n]*\.$"):
        load_corpus(corpus)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_damaged_corpus_blames_no_other_file_and_is_mended_by_adding_again(
    corpus: Path, music: Path, damage: str
) -> None:
    add_folder(corpus, music)
    path = midi_path(corpus, read_catalogue(corpus)[0].sha256)
    path.unlink() if damage == "missing" else path.write_bytes(b"MThd")
    save(music / "another" / "song9.mid", melody(9))
    with pytest.raises(CorpusProblem, match=r"Song 0.*add that file again\.$"):
        add_folder(corpus, music / "another")
    assert read_refusals(corpus) == []
    assert len(add_folder(corpus, music).known) == 3
    assert len(load_corpus(corpus)) == 4


def test_an_empty_corpus_says_how_to_fill_it(corpus: Path) -> None:
    with pytest.raises(CorpusProblem, match=r"\./run data add"):
        load_corpus(corpus)


def test_the_report_counts_and_draws(corpus: Path, music: Path, tmp_path: Path) -> None:
    add_folder(corpus, music)
    found = report(corpus)
    assert (found.pieces, found.notes) == (3, 360)
    assert sum(share.pieces for share in found.moods) == 3
    assert [share.name for share in found.licences] == ["CC0-1.0"]
    pictures = write_plots(corpus, tmp_path / "plots")
    assert [path.read_bytes()[:4] for path in pictures] == [b"\x89PNG", b"\x89PNG"]
