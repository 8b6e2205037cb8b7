from __future__ import annotations

import io
import random
import struct

import mido
import pretty_midi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.errors import InvalidMidi
from data.keys import Key, Mode
from data.midi import MAX_BYTES, read_midi, write_midi
from data.score import PROGRAMS, TEMPO_BPM_MAX, TEMPO_BPM_MIN, Note, Part, Score, trim_overlaps
from tests.strategies import any_note

tempos = st.integers(TEMPO_BPM_MIN * 1000, TEMPO_BPM_MAX * 1000).map(lambda thousandths: thousandths / 1000)
scores = st.builds(
    lambda found, tempo_bpm: Score(trim_overlaps(tuple(sorted(found))), tempo_bpm),
    st.lists(any_note, min_size=1, max_size=60),
    tempos,
)
texts = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40).filter(
    lambda t: t == t.strip()
)


def small_score(tempo_bpm: float = 60.0) -> Score:
    return Score(
        (
            Note(0, Part.SUB, 36, 48, 80),
            Note(0, Part.BELL, 72, 12, 64),
            Note(24, Part.BELL, 75, 12, 64),
            Note(48, Part.SUB, 34, 48, 80),
        ),
        tempo_bpm,
    )


@settings(max_examples=60, deadline=None)
@given(score=scores, title=texts, recipe=st.lists(texts, max_size=3))
def test_what_is_written_is_read_back_exactly(score: Score, title: str, recipe: list[str]) -> None:
    read = read_midi(write_midi(score, title=title, texts=recipe))
    assert read.score == score
    assert read.title == title
    assert read.texts == tuple(recipe)


@settings(max_examples=20, deadline=None)
@given(score=scores)
def test_the_same_score_always_gives_the_same_bytes(score: Score) -> None:
    assert write_midi(score, title="x", texts=["y"]) == write_midi(score, title="x", texts=["y"])


def test_each_part_has_its_channel_program_and_name_and_none_is_the_drum_channel() -> None:
    score = Score(tuple(sorted(Note(12 * part, part, 60, 12, 64) for part in Part)), 90)
    file = mido.MidiFile(file=io.BytesIO(write_midi(score, title="All parts")))
    assert file.tracks[0].name == "All parts"
    tracks = file.tracks[1:]
    assert [track.name for track in tracks] == [part.name.lower() for part in Part]
    programs = [[m for m in track if m.type == "program_change"] for track in tracks]
    assert [[message.program for message in changes] for changes in programs] == [[PROGRAMS[part]] for part in Part]
    channels = {changes[0].channel for changes in programs}
    assert len(channels) == len(Part)
    assert 9 not in channels


@pytest.mark.parametrize("mode", ["major", "minor"])
@pytest.mark.parametrize("tonic", range(12))
def test_the_key_becomes_a_key_signature_that_other_programs_read(tonic: int, mode: Mode) -> None:
    content = write_midi(small_score(), title="", texts=["a recipe"], key=Key(tonic, mode))
    (signature,) = pretty_midi.PrettyMIDI(io.BytesIO(content)).key_signature_changes
    assert (signature.key_number % 12, signature.key_number >= 12) == (tonic, mode == "minor")
    (event,) = [m for m in mido.MidiFile(file=io.BytesIO(content)).tracks[0] if m.type == "key_signature"]
    assert (event.time, event.key.endswith("m")) == (0, mode == "minor")
    assert read_midi(content).texts == ("a recipe",)
    assert not pretty_midi.PrettyMIDI(io.BytesIO(write_midi(small_score(), title=""))).key_signature_changes


def test_overlaps_are_trimmed_when_written() -> None:
    overlapping = Score((Note(0, Part.PAD, 60, 100, 64), Note(12, Part.PAD, 60, 12, 70)), 60)
    read = read_midi(write_midi(overlapping, title=""))
    assert read.score.notes == (Note(0, Part.PAD, 60, 12, 64), Note(12, Part.PAD, 60, 12, 70))


def test_the_pedal_holds_decaying_parts_within_one_harmony_and_is_up_at_the_end() -> None:
    score = small_score()
    file = pretty_midi.PrettyMIDI(io.BytesIO(write_midi(score, title="")))
    by_name = {instrument.name: instrument for instrument in file.instruments}
    pedal = [(round(c.time, 2), c.value) for c in by_name["bell"].control_changes if c.number == 64]
    # 60 beats a minute, 12 steps a beat: a bar is 4 s, a step 1/12 s; the bass moves at the bar line.
    assert pedal == [(0.08, 127), (4.0, 0), (4.08, 127), (8.0, 0)]
    assert not [c for c in by_name["sub"].control_changes if c.number == 64]


def test_text_that_cannot_be_shown_is_cleaned() -> None:
    read = read_midi(write_midi(small_score(), title="\x00Nebula\x1b[2J\ud800", texts=["a\x07b", "z" * 9000]))
    assert read.title == "Nebula[2J"
    assert read.texts == ("ab", "z" * 4096)


def smf(*tracks: bytes, division: int = 480, file_format: int = 1, declared: int | None = None) -> bytes:
    header = struct.pack(">4sIHHH", b"MThd", 6, file_format, len(tracks) if declared is None else declared, division)
    return header + b"".join(b"MTrk" + struct.pack(">I", len(track)) + track for track in tracks)


END = b"\x00\xff\x2f\x00"
NOTE = b"\x00\x90\x3c\x40\x83\x60\x80\x3c\x40"  # middle C for 480 ticks


def test_a_hand_made_file_is_read() -> None:
    read = read_midi(smf(b"\x00\xff\x03\x04Void" + NOTE + END, file_format=0))
    assert read.score == Score((Note(0, Part.KEYS, 60, 12, 64),), 120)
    assert read.title == "Void"


def test_latin_1_titles_and_running_status_are_read() -> None:
    track = b"\x00\xb0\x07\x40\x00\x0a\x40\x00\xf0\x01\xf7\x00\xff\x03\x02\xe9\xe8" + NOTE + END
    assert read_midi(smf(track)).title == "éè"


def test_drums_are_dropped() -> None:
    read = read_midi(smf(NOTE + b"\x00\x99\x24\x40\x60\x89\x24\x40" + END))
    assert len(read.score.notes) == 1


def tempo(bpm: float) -> bytes:
    return b"\x00\xff\x51\x03" + struct.pack(">I", round(60e6 / bpm))[1:]


def test_tempo_changes_are_averaged_over_beats() -> None:
    # One beat at 120 (0.5 s), then one at 40 (1.5 s): two beats in two seconds.
    track = tempo(120) + NOTE + tempo(40) + NOTE + END
    read = read_midi(smf(track))
    assert read.score.tempo_bpm == 60
    assert read.score.duration_s == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("written_bpm", "read_bpm", "steps"), [(300, 150, 6), (20, 40, 24), (600, 150, 3), (10, 40, 48)]
)
def test_tempos_outside_the_range_are_doubled_or_halved_and_seconds_stay(
    written_bpm: float, read_bpm: float, steps: int
) -> None:
    read = read_midi(smf(tempo(written_bpm) + NOTE + END))
    assert read.score.tempo_bpm == read_bpm
    assert read.score.notes[0].duration_steps == steps
    assert read.score.duration_s == pytest.approx(60 / written_bpm)


good = write_midi(small_score(), title="Good")
BAD = {
    "nothing": (b"", "not a MIDI file"),
    "text": (b"hello, this is no music", "not a MIDI file"),
    "a zip": (b"PK\x03\x04" + bytes(200), "not a MIDI file"),
    "a RIFF": (b"RIFF\x20\0\0\0RMIDdata" + good, "not a MIDI file"),
    "magic alone": (b"MThd", "truncated"),
    "half a header": (good[:12], "truncated"),
    "header alone": (good[:14], "truncated"),
    "cut in the first track": (good[:30], "truncated"),
    "cut at the last byte": (good[:-1], "truncated"),
    "a track is missing": (smf(NOTE + END, declared=2), "truncated"),
    "a track longer than the file": (smf(NOTE + END)[:18] + b"\xff\xff\xff\xff" + NOTE + END, "truncated"),
    "a header length that lies": (b"MThd\xff\xff\xff\xff" + good[8:], "truncated"),
    "a short header length": (b"MThd\0\0\0\x02" + good[8:], "damaged"),
    "an unknown format": (smf(NOTE + END, file_format=7), "damaged"),
    "several songs": (smf(NOTE + END, file_format=2), "several songs"),
    "zero division": (smf(NOTE + END, division=0), "zero division"),
    "video frames": (smf(NOTE + END, division=0xE728), "video frames"),
    "no tracks": (smf(), "no notes"),
    "no notes": (smf(END), "no notes"),
    "drums only": (smf(b"\x00\x99\x24\x40\x60\x89\x24\x40" + END), "besides drums"),
    "zero tempo": (smf(b"\x00\xff\x51\x03\0\0\0" + NOTE + END), "tempo of zero"),
    "absurdly fast": (smf(b"\x00\xff\x51\x03\0\0\x09" + NOTE + END), "absurd tempo"),
    "absurdly long": (
        smf(b"\x00\x90\x3c\x40\xff\xff\xff\x7f\x80\x3c\x40" + END, division=1),
        "absurd duration",
    ),
    "too many tracks": (smf(*[NOTE + END] * 600), "600 tracks"),
    "too large": (good + bytes(MAX_BYTES), "larger than"),
    "too many notes": (smf(b"\x00\x90\x3c\x40" + b"\x01\x3c\x00\x00\x3c\x40" * 200_001 + END), "200,001 notes"),
    "a system exclusive that lies": (smf(b"\x00\xf0\xff\xff\xff\x7f" + NOTE + END), "damaged|no notes"),
    "a meta event that lies": (smf(b"\x00\xff\x01\xff\xff\xff\x7f" + NOTE + END), "damaged|no notes"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_in_one_plain_sentence(name: str) -> None:
    data, says = BAD[name]
    with pytest.raises(InvalidMidi, match=says) as caught:
        read_midi(data)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 200


def test_mutated_files_are_read_or_refused_and_nothing_else() -> None:
    random_ = random.Random(1)
    accepted = 0
    for _ in range(1000):
        data = bytearray(good)
        for _ in range(random_.choice((1, 2, 5, 30))):
            data[random_.randrange(len(data))] = random_.randrange(256)
        try:
            accepted += bool(read_midi(bytes(data)).score.notes)
        except InvalidMidi:
            continue
    assert 0 < accepted < 1000
