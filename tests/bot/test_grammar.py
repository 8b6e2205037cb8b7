import dataclasses
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.grammar import build_request, format_request, parse_request, parse_values
from bot.options import OPTIONS
from data.keys import Key
from data.moods import MOODS, Mood
from data.spaces import SPACES, Space
from engine.errors import InvalidRequest
from engine.types import ComposeRequest

WISH = ComposeRequest(mood=Mood.TENSE, length_notes=200, temperature=0.8, tempo_bpm=60, key=Key(6, "minor"), seed=7)

requests = st.builds(
    ComposeRequest,
    mood=st.sampled_from(MOODS),
    length_notes=st.integers(16, 2000),
    temperature=st.floats(0.1, 2.0),
    seed=st.integers(0, 2**32 - 1),
    tempo_bpm=st.none() | st.integers(40, 200),
    key=st.none() | st.builds(Key, st.integers(0, 11), st.sampled_from(["major", "minor"])),
    space=st.none() | st.sampled_from(SPACES),
)


@given(requests)
def test_a_request_written_and_read_is_the_same_request(request_: ComposeRequest) -> None:
    assert parse_request(format_request(request_)) == request_


fragments = st.sampled_from(
    [option.name for option in OPTIONS]
    + [
        "--length",
        "/compose",
        "dark",
        "200",
        ":",
        "=",
        "0.9",
        '"',
        "“",
        "—",
        "-5",
        "key:F# minor",
        "auto",
        "\u200b",
        "\n",
    ]
)
ragged = st.lists(fragments | st.text(max_size=6), max_size=12).map("".join)


@settings(max_examples=200)
@given(st.text() | st.text(string.printable) | ragged)
def test_no_text_raises_anything_but_invalid_request_in_one_line(text: str) -> None:
    sentence = ""
    try:
        parse_request(text)
    except InvalidRequest as error:
        sentence = str(error) or "an empty sentence\n"
    assert sentence.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "mood:tense length:200 temp:0.8 tempo:60 key:F#m seed:7",
        "seed:7 key:F#m tempo:60 temp:0.8 length:200 mood:tense",
        "/compose mood:tense length:200 temp:0.8 tempo:60 key:F#m seed:7",
        "compose mood=tense length=200 temp=0.8 tempo=60 key=F#m seed=7",
        "--mood tense --length 200 --temp 0.8 --tempo 60 --key F#m --seed 7",
        "--mood=tense --length=200 --temp=0.8 --tempo=60 --key=F#m --seed=7",
        "—mood tense –length 200 -temp 0.8 -tempo 60 -key F#m -seed 7",  # noqa: RUF001 - what phones make of --
        "tense length 200 temp 0.8 tempo 60 key F# minor seed 7",
        "  MOOD : Tense   LENGTH :200   Temp: 0.8 Tempo:60 KEY:f# minor SEED: 7 ",
        '“mood:tense” ‘length:200’ \'temp:0.8\' "tempo":"60" key:"F# minor" `seed:7`',  # noqa: RUF001
        "mood:tense, length:200, temp:0,8, tempo:60bpm, key:F♯m, seed:7",
        "feel:tense notes:200 temperature:.8 bpm:60 key:f sharp min seed:7",
        "mood：tense　length＝200 temp:０.８ tempo:60 key:Gb minor seed:7",  # noqa: RUF001 - full-width signs
        "mood:tense\nlength:200 notes\ttemp:8e-1 tempo:60 BPM key:F#m seed:+7",
    ],
)
def test_every_usual_way_of_writing_is_understood(text: str) -> None:
    assert parse_request(text) == WISH


def test_a_mood_and_a_space_need_no_name() -> None:
    made = parse_request("Cathedral length:32 epic")
    assert (made.mood, made.space, made.length_notes) == (Mood.EPIC, Space.CATHEDRAL, 32)


def test_nothing_said_means_the_defaults_with_a_fresh_seed() -> None:
    first, second = parse_request(""), parse_request("/compose")
    assert (first.mood, first.length_notes, first.temperature) == (Mood.DARK, 200, 0.9)
    assert first.seed != second.seed
    assert first.id != second.id


MALFORMED = {
    "mood:drak": "did you mean dark?",
    "mood:angry": "dark, ambient, tense, mysterious, melancholic, ethereal, hopeful or epic",
    "mood:": "mood has no value",
    "mood": "mood has no value",
    "mood: length:200": "mood has no value",
    "drak": "did you mean mood:dark?",
    "catedral": "did you mean space:cathedral?",
    "dry void": "space is given twice",
    "space:moon": "void, cathedral, hangar, tape or dry, not 'moon'",
    "happy": "is not an option",
    "lenght:200": "did you mean length?",
    "lne:200": "did you mean length?",
    "length:15": "16 to 2000 notes, not 15: did you mean 16?",
    "length:2001": "did you mean 2000?",
    "length:-200": "did you mean 16?",
    "length:0": "16 to 2000",
    "length:twenty": "not 'twenty'",
    "length:20.5": "a whole number",
    "length:1e3": "a whole number",
    "length:0x20": "a whole number",
    "length:" + "9" * 400: "did you mean 2000?",
    "length:--200": "a whole number",
    "length": "length has no value",
    "--length": "length has no value",
    "--length --temp 0.9": "length has no value",
    "temp:0": "0.1 to 2.0, not 0.0: did you mean 0.1?",
    "temp:2.1": "did you mean 2.0?",
    "temp:-1": "0.1 to 2.0",
    "temp:nan": "not 'nan'",
    "temp:inf": "not 'inf'",
    "temp:1e999": "a number from",
    "temp:hot": "not 'hot'",
    "temp:0.9.1": "a number from",
    "tmep:0.9": "did you mean temp",
    "tempo:39": "did you mean 40?",
    "tempo:201": "did you mean 200?",
    "tempo:fast": "40 to 200 beats a minute",
    "key:H": "a letter A to G",
    "key:Am7": "a letter A to G",
    "key:dark": "a letter A to G",
    "key:": "key has no value",
    "seed:-1": "0 to 4294967295, not -1: did you mean 0?",
    "seed:4294967296": "did you mean 4294967295?",
    "seed:abc": "a whole number",
    "sede:7": "did you mean seed?",
    "mood:dark mood:tense": "given twice, as 'dark' and 'tense'",
    "dark mood:dark": "given twice",
    "temp:0.9 temperature:0.9": "temp is given twice",
    "length:200 notes:200": "length is given twice",
    "200": "did you mean length:200?",
    "0.9": "did you mean temp:0.9?",
    ":200": "has no name",
    "=": "has no name",
    "--": "has no name",
    "top_p:0.5": "is not an option",
    "instrument:piano": "is not an option",
    "please make me something": "is not an option",
    "🎹": "is not an option",
    "\udcff": "is not an option",
    "mood:dark; DROP TABLE requests": "is not an option",
    "x" * 1001: "at most 1000 characters",
}


@pytest.mark.parametrize(("text", "says"), MALFORMED.items(), ids=[text[:24] for text in MALFORMED])
def test_a_malformed_request_is_answered_in_one_line_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request(text)
    sentence = str(caught.value)
    assert says in sentence
    assert sentence.isprintable()
    assert len(sentence) < 200


def test_an_invalid_request_names_its_option() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request("temperature:9")
    assert caught.value.field == "temp"


def test_what_is_typed_wins_over_defaults_and_auto_leaves_it_to_the_mood() -> None:
    defaults = parse_values("epic tempo:60 key:Am")
    made = build_request({**defaults, **parse_values("key:auto length:32")})
    assert (made.mood, made.tempo_bpm, made.key, made.length_notes) == (Mood.EPIC, 60, None, 32)


def test_typed_options_follow_the_same_rules() -> None:
    typed = {"mood": "tense", "length": 200, "temp": 0.8, "tempo": 60, "key": "f sharp minor", "seed": 7}
    assert build_request(typed) == WISH
    assert build_request({"mood": None, "seed": 7}) == ComposeRequest(seed=7)
    with pytest.raises(InvalidRequest, match="did you mean 2000"):
        build_request({"length": 5000})
    with pytest.raises(InvalidRequest, match="did you mean tense"):
        build_request({"mood": "tens"})


def test_every_option_is_a_field_of_the_request_and_fits_into_discord() -> None:
    fields = {field.name for field in dataclasses.fields(ComposeRequest)}
    assert {option.field for option in OPTIONS} <= fields
    assert all(0 < len(option.says) <= 100 and len(option.choices) <= 25 for option in OPTIONS)
