"""Every kind of error becomes one sentence; what an administrator needs is in the log under the same id."""

import re
from types import SimpleNamespace

import aiohttp
import discord
import pytest

from bot.discord.errors import sentence_for
from bot.errors import LimitReached, NotFound
from bot.grammar import parse_request
from data.phrases import Phrase
from engine.errors import Busy, InvalidRequest, RenderFailed, SetupProblem

RESPONSE = SimpleNamespace(status=500, reason="", headers={})


@pytest.mark.parametrize(
    "error",
    [InvalidRequest("mood", "mood is one of dark, epic."), NotFound("There is no piece 'abc'.")],
)
def test_what_the_person_can_mend_is_said_as_it_is(error: Exception) -> None:
    assert sentence_for(error) == str(error)


@pytest.mark.parametrize("error", [Busy("Too many wait.", 90), LimitReached("You have 4 pieces.", 0)])
def test_what_takes_time_says_when_to_come_back(error: Exception) -> None:
    assert re.fullmatch(r".+ Try again <t:\d+:R>\.", sentence_for(error))


@pytest.mark.parametrize(
    "error",
    [
        RenderFailed("The sound came out silent."),
        SetupProblem("FluidSynth is not installed."),
        discord.HTTPException(RESPONSE, "secret"),
        discord.NotFound(SimpleNamespace(status=404, reason="", headers={}), "secret"),
        discord.Forbidden(SimpleNamespace(status=403, reason="", headers={}), "secret"),
        discord.DiscordServerError(RESPONSE, "secret"),
        aiohttp.ClientConnectionError("secret"),
        TimeoutError("secret"),
        OSError("secret"),
        ZeroDivisionError("secret"),
    ],
)
def test_everything_else_has_an_id_that_the_log_has_and_no_details(error: Exception, caplog) -> None:
    sentence = sentence_for(error, doing="a test")

    match = re.fullmatch(r"[^()]+ \(error ([0-9a-f]{8})\)", sentence)
    assert match is not None
    assert match[1] in caplog.text
    assert "secret" not in sentence


def test_a_sentence_is_told_in_the_readers_language_with_everything_in_it() -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_request("mood:drak")
    assert sentence_for(caught.value, "de") == (
        "mood ist dark, ambient, tense, mysterious, melancholic, ethereal, hopeful oder epic, nicht 'drak' "
        "(meintest du dark?)."
    )
    busy = sentence_for(
        LimitReached(
            "You have asked for {pieces} within an hour, which is the limit; ask again later.",
            9,
            pieces=Phrase("{n} pieces", n=3),
        ),
        "es-ES",
    )
    assert busy.startswith("Has pedido 3 piezas en una hora")


def test_what_has_to_be_installed_is_for_whoever_runs_the_bot_alone() -> None:
    problem = SetupProblem("FluidSynth is not installed: apt-get install fluidsynth.")
    assert "FluidSynth" not in sentence_for(problem)
    assert "wer mich betreibt" in sentence_for(problem, "de")
    assert "apt-get install fluidsynth" in sentence_for(problem, owner=True)


def test_text_of_a_person_inside_a_sentence_has_no_effect() -> None:
    sentence = sentence_for(InvalidRequest("key", "key is a letter, not '**@everyone** [x](http://y)'."))

    assert "**" not in sentence.replace("\\*\\*", "")
    assert "@everyone" not in sentence
