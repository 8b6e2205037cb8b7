import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import discord
import pytest
import soundfile as sf
import symusic
from PIL import Image
from simcord import interactions

from bot.grammar import parse_request
from bot.history import State
from engine.errors import RenderFailed, SetupProblem
from engine.types import LENGTH_NOTES_MAX

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]


async def attached(message: discord.Message) -> dict[str, bytes]:
    """The attachments by the ending of their names."""
    return {Path(file.filename).suffix: await file.read() for file in message.attachments}


async def test_compose_answers_with_midi_and_wav_that_parse(simcord_env, channel, ada) -> None:
    result = await ada.slash(channel, "compose", mood="dark", length=40, temp=0.7, seed=11)

    assert simcord_env.http_requests[-2].json == {"type": 5}  # acknowledged before anything else
    assert not result.ephemeral
    message = channel.last_message
    files = await attached(message)
    score = symusic.Score.from_midi(files[".mid"])
    assert sum(len(track.notes) for track in score.tracks) == 40
    with wave.open(io.BytesIO(files[".wav"])) as sound:
        assert sound.getframerate() == 44_100
        assert sound.getnframes() == 44_100
    assert Image.open(io.BytesIO(files[".png"])).size == (32, 16)


async def test_the_reply_shows_every_parameter_and_how_to_repeat_it(channel, ada) -> None:
    await ada.slash(channel, "compose", mood="tense", length=33, temp=1.2, tempo=96, key="F# minor", seed=5)

    (embed,) = channel.last_message.embeds
    shown = {field.name: field.value.strip("`\n") for field in embed.fields}
    assert shown["mood"] == "tense"
    assert shown["length"] == "33 notes"
    assert shown["temp"] == "1.2"
    assert shown["tempo"] == "96 BPM"
    assert shown["key"] == "F#m"
    assert shown["seed"] == "5"
    assert shown["checkpoint"] == "small-00000000"
    assert shown["duration"] == "0:01"
    again = parse_request(shown["The same again"])
    assert again == parse_request("mood:tense length:33 temp:1.2 tempo:96 key:F#m seed:5")
    picture = next(file for file in channel.last_message.attachments if file.filename.endswith(".png"))
    assert "33 notes in F#m at 96" in picture.description


async def test_a_delivered_piece_is_in_history_with_its_message(house, channel, ada) -> None:
    await ada.slash(channel, "compose")

    record = await house.only_record()
    assert record.state is State.DELIVERED
    assert record.message is not None
    assert int(record.message.message_id) == channel.last_message.id
    assert record.requester.user_id == str(ada.id)


async def test_nothing_is_pinged_and_no_markdown_of_a_person_is_rendered(simcord_env, channel, ada) -> None:
    result = await ada.slash(channel, "compose", key=f"**{ada.mention}** @everyone")

    assert result.ephemeral
    assert "**" not in result.response.content.replace("\\*\\*", "")
    assert ada.mention not in result.response.content
    await ada.slash(channel, "compose")
    sent = [request.json for request in simcord_env.http_requests if request.json and "content" in request.json]
    assert all(body.get("allowed_mentions") == {"parse": []} for body in sent if body.get("content"))


def arriving_as(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], None]) -> None:
    """Let interactions arrive changed, as from a client that keeps to none of Discord's rules."""
    original = interactions.base_payload

    def changed(*args: Any, **kwargs: Any) -> Any:
        record, payload = original(*args, **kwargs)
        change(payload)
        return record, payload

    monkeypatch.setattr(interactions, "base_payload", changed)


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("length", LENGTH_NOTES_MAX + 1, "2000"),
        ("length", 15, "16"),
        ("temp", 2.1, "2.0"),
        ("tempo", 900, "200"),
        ("seed", -1, "0"),
        ("mood", "jolly", "mysterious"),
        ("key", "H", "A to G"),
        ("variations", 5, "1 to 4"),
        ("variations", 0, "1 to 4"),
    ],
)
async def test_a_value_out_of_range_is_answered_with_what_is_allowed(
    monkeypatch, channel, ada, option: str, value: object, told: str
) -> None:
    types = {str: 3, int: 4, float: 10}

    def change(payload: dict[str, Any]) -> None:
        payload["data"]["options"] = [{"name": option, "type": types[type(value)], "value": value}]

    arriving_as(monkeypatch, change)
    result = await ada.slash(channel, "compose")

    assert result.ephemeral
    assert told in result.response.content
    assert "\n" not in result.response.content
    assert channel.last_message is None


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RenderFailed("The sound of this piece came out silent."), "The sound of this piece came out silent."),
        (SetupProblem("FluidSynth is not installed."), "Something is missing or broken where I run"),
    ],
)
async def test_a_failing_renderer_is_told_to_the_asker_alone_and_logged_with_its_id(
    house, channel, ada, caplog, error: Exception, told: str
) -> None:
    house.engine.fails.append(error)

    result = await ada.slash(channel, "compose")

    (followup,) = result.followups
    assert followup.ephemeral
    sentence, _, error_id = followup.content.partition(" (error ")
    assert sentence.startswith(told)
    assert str(error) in caplog.text
    assert error_id.removesuffix(")") in caplog.text
    assert result.response is None  # the public reply is gone
    record = await house.only_record()
    assert record.state is State.FAILED
    assert record.error.startswith(told)


async def test_a_bug_is_told_without_its_details(house, channel, ada, caplog) -> None:
    house.engine.fails.append(ZeroDivisionError("secret path /srv/x"))

    result = await ada.slash(channel, "compose")

    assert "secret" not in result.followups[0].content
    assert "unexpected" in result.followups[0].content
    assert "secret" in caplog.text


@pytest.mark.parametrize(
    ("limit", "suffix", "said"),
    [(8 << 20, ".wav", ""), (3 << 20, ".wav", "32 kHz"), (1_900_000, ".flac", "FLAC"), (5_000, None, "too large")],
)
async def test_a_wav_over_the_limit_comes_in_a_smaller_format_and_says_so(
    house, monkeypatch, channel, ada, limit: int, suffix: str | None, said: str
) -> None:
    house.engine.seconds = 22.0  # 3.9 MB as WAV
    arriving_as(monkeypatch, lambda payload: payload.update(attachment_size_limit=limit))

    await ada.slash(channel, "compose", length=16)

    message = channel.last_message
    files = await attached(message)
    assert files.keys() - {".mid", ".png"} == ({suffix} if suffix else set())
    if suffix:
        assert len(files[suffix]) <= limit
        assert sf.info(io.BytesIO(files[suffix])).duration == pytest.approx(22.0, abs=0.01)
    assert said in (message.embeds[0].description or "")


async def test_a_private_piece_is_seen_by_its_asker_alone(channel, ada) -> None:
    result = await ada.slash(channel, "compose", private=True)

    assert result.ephemeral
    assert {Path(file.filename).suffix for file in result.response.attachments} == {".mid", ".wav", ".png"}
    assert channel.last_message is None


async def test_variations_are_pieces_of_their_own_with_seeds_of_their_own(house, channel, ada) -> None:
    await ada.slash(channel, "compose", length=16, seed=41, variations=3)

    messages = channel.history()
    assert len(messages) == 3
    assert all(len(message.attachments) == 3 for message in messages)
    records = await house.records()
    assert sorted(record.request.seed for record in records) == [41, 42, 43]
    assert {int(record.message.message_id) for record in records if record.message} == {each.id for each in messages}


async def test_a_variation_that_fails_is_told_and_the_others_come(house, channel, ada) -> None:
    house.engine.fails.append(RenderFailed("The sound of this piece came out silent."))

    result = await ada.slash(channel, "compose", length=16, variations=2)

    (message,) = channel.history()
    assert len(message.attachments) == 3
    assert next(each.content for each in result.followups if each.ephemeral).startswith("The sound")


async def test_without_the_permission_to_attach_nothing_is_composed(simcord_env, house, guild, ada) -> None:
    deny = discord.PermissionOverwrite(attach_files=False)
    silent = guild.create_text_channel("silent", overwrites={simcord_env.bot.user: deny})

    result = await ada.slash(silent, "compose")

    assert result.ephemeral
    assert "Attach Files" in result.response.content
    assert house.engine.made == 0


async def test_composing_works_in_a_direct_message(ada) -> None:
    result = await ada.user.slash("compose", mood="hopeful")

    assert {Path(file.filename).suffix for file in result.response.attachments} == {".mid", ".wav", ".png"}


async def test_the_client_asks_for_no_privileged_intent(simcord_env) -> None:
    privileged = ("members", "presences", "message_content")
    assert not any(getattr(simcord_env.bot.intents, name) for name in privileged)


@pytest.mark.usefixtures("quick_retries")
async def test_a_variation_that_discord_does_not_announce_costs_the_others_nothing(
    simcord_env, house, channel, ada
) -> None:
    simcord_env.inject_error("POST", "/webhooks/*/*", status=500, times=4)  # one message, as often as it is tried

    result = await ada.slash(channel, "compose", length=16, variations=3)

    assert [len(message.attachments) for message in channel.history()] == [3]
    assert house.engine.made == 1
    assert "Discord did not answer" in result.followups[0].content


async def test_what_is_broken_where_the_bot_runs_is_nobodys_to_read(house, channel, ada, ben) -> None:
    house.engine.fails.append(SetupProblem("The soundfont /home/operator/FluidR3.sf2 cannot be read."))
    await ada.slash(channel, "compose", length=16)

    shown = await ben.slash(channel, "show", id=(await house.only_record()).id)

    assert "missing or broken where I run" in shown.response.embeds[0].description
