import pickle

from data.errors import InvalidMidi
from data.phrases import Phrase
from engine.errors import Busy


def test_a_phrase_is_english_until_a_front_end_says_otherwise() -> None:
    inner = Phrase("{most} or {last}", most="a, b", last="c")
    assert str(Phrase("It is {what}, not {given}.", what=inner, given="{d}")) == "It is a, b or c, not {d}."
    assert str(Phrase("Braces {stay} where nothing is filled in.")) == "Braces {stay} where nothing is filled in."


def test_an_error_keeps_its_template_for_the_reader() -> None:
    error = Busy("{n} pieces are waiting.", 3.0, n=7)
    assert (str(error), error.retry_after_s) == ("7 pieces are waiting.", 3.0)
    assert error.phrase == Phrase("{n} pieces are waiting.", n=7)


def test_an_error_comes_back_from_another_process_as_it_was() -> None:
    error = pickle.loads(pickle.dumps(InvalidMidi("It has {n} {what}.", n=3, what=Phrase("tracks"))))  # noqa: S301
    assert str(error) == "It has 3 tracks."
    assert error.phrase == Phrase("It has {n} {what}.", n=3, what=Phrase("tracks"))
