"""What Discord does wrong, and what people do meanwhile: each request is delivered or told, none is posted twice."""

import asyncio
from types import SimpleNamespace

import discord
import pytest
from simcord import interactions

from bot.discord import persist
from bot.history import State
from bot.quota import Limits

pytestmark = [pytest.mark.simcord(settle_timeout=60.0), pytest.mark.usefixtures("closing", "quick_retries")]

ORIGINAL = "/webhooks/*/*/messages/@original"


@pytest.mark.parametrize(("status", "times"), [(500, 3), (503, 1), (429, 2)])
async def test_what_passes_is_repeated_until_it_works(
    simcord_env, house, channel, ada, status: int, times: int
) -> None:
    simcord_env.inject_error("PATCH", ORIGINAL, status=status, times=times)

    await ada.slash(channel, "compose")

    assert len(channel.history()) == 1
    assert len(channel.last_message.attachments) == 3
    assert (await house.only_record()).state is State.DELIVERED


async def test_what_does_not_pass_is_told_and_remembered(simcord_env, house, channel, ada) -> None:
    simcord_env.inject_error("PATCH", ORIGINAL, status=500, times=persist.ATTEMPTS)

    result = await ada.slash(channel, "compose")

    assert result.followups[0].ephemeral
    assert "Discord did not answer" in result.followups[0].content
    record = await house.only_record()
    assert record.state is State.FAILED
    assert record.result is not None  # the piece exists: /show has it


@pytest.mark.parametrize("code", [0, 40005])
async def test_files_that_are_refused_as_too_large_are_made_smaller(
    simcord_env, house, channel, ada, code: int
) -> None:
    house.engine.seconds = 20.0
    simcord_env.inject_error("PATCH", ORIGINAL, status=413 if code == 0 else 400, code=code, times=1)

    await ada.slash(channel, "compose")

    names = {file.filename.rpartition(".")[2] for file in channel.last_message.attachments}
    assert names & {"wav", "flac", "ogg"}
    assert "larger than this place allows" in channel.last_message.embeds[0].description


async def test_a_reply_that_somebody_deleted_meanwhile_is_posted_anew(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    simcord_env.backend.delete_message(channel.id, channel.last_message.id)

    house.engine.gate.set()
    await simcord_env.settle()

    assert len(channel.history()) == 1
    assert len(channel.last_message.attachments) == 3
    record = await house.only_record()
    assert record.message is not None
    assert int(record.message.message_id) == channel.last_message.id


async def test_after_fifteen_minutes_the_reply_is_edited_through_the_channel(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    reply = channel.last_message.id
    await simcord_env.advance_time(15 * 60 + 1)

    house.engine.gate.set()
    await simcord_env.settle()

    (message,) = channel.history()
    assert message.id == reply
    assert len(message.attachments) == 3


async def test_after_fifteen_minutes_a_private_piece_comes_as_a_direct_message(
    simcord_env, house, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", private=True)
    await simcord_env.advance_time(15 * 60 + 1)

    house.engine.gate.set()
    await simcord_env.settle()

    assert len(ada.user.dm_channel.last_message.attachments) == 3
    assert channel.last_message is None


async def test_an_interaction_that_ends_early_is_edited_through_the_channel(simcord_env, house, channel, ada) -> None:
    simcord_env.inject_error("PATCH", ORIGINAL, status=401, code=50027, times=None)

    await ada.slash(channel, "compose")

    assert len(channel.last_message.attachments) == 3
    assert (await house.only_record()).state is State.DELIVERED


async def test_a_channel_that_closed_meanwhile_means_a_direct_message(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(15 * 60 + 1)
    simcord_env.inject_error("*", f"/channels/{channel.id}/*", status=403, code=50001, times=None)

    house.engine.gate.set()
    await simcord_env.settle()

    assert len(ada.user.dm_channel.last_message.attachments) == 3


async def test_when_every_way_is_closed_history_says_so(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(15 * 60 + 1)
    simcord_env.inject_error("*", "/channels/*", status=403, code=50001, times=None)

    house.engine.gate.set()
    await simcord_env.settle()

    record = await house.only_record()
    assert record.state is State.FAILED
    assert "direct messages" in record.error


async def test_progress_that_cannot_be_shown_does_not_stop_the_piece(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    simcord_env.inject_error("PATCH", ORIGINAL, status=500, times=1)
    await simcord_env.advance_time(3)

    house.engine.gate.set()
    await simcord_env.settle()

    assert len(channel.last_message.attachments) == 3


async def test_progress_is_edited_every_three_seconds_at_most_and_only_on_change(
    simcord_env, house, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    before = len(simcord_env.http_requests)
    for _ in range(40):
        await simcord_env.advance_time(0.5)

    edits = [request for request in simcord_env.http_requests[before:] if request.method == "PATCH"]
    assert len(edits) == 1


async def test_an_interaction_that_is_too_old_is_left_alone(simcord_env, house, channel, ada) -> None:
    simcord_env.inject_error("POST", "/interactions/*/*/callback", status=404, code=10062)

    await ada.slash(channel, "compose")

    assert house.engine.made == 0
    assert channel.last_message is None


async def test_a_hundred_people_at_once_each_get_their_piece_once(simcord_env, house, closing, guild, channel) -> None:
    await simcord_env.bot.close()
    house.limits = Limits(guild_waiting=200, queue=200)
    house.new_engine()
    house.engine.seconds = 0.05
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    people = [guild.add_member(simcord_env.create_user(f"user{n}")) for n in range(100)]
    command = simcord_env.backend.find_command("compose", guild.id, type=1)
    options = [{"name": "length", "type": 4, "value": 16}]
    for person in people:
        _, payload = interactions.base_payload(
            simcord_env.backend,
            type=2,
            channel_id=channel.id,
            guild_id=guild.id,
            user_id=person.id,
            data={"id": command["id"], "name": "compose", "type": 1, "options": options},
        )
        simcord_env.backend.emit("INTERACTION_CREATE", payload)
    async with asyncio.timeout(60):
        # simcord's own waiting looks at every task of everybody each time: with a hundred people that takes a minute.
        while house.engine.made < len(people):  # noqa: ASYNC110 - the engine has no event for it
            await asyncio.sleep(0.05)
    await simcord_env.settle()

    messages = channel.history()
    assert len(messages) == 100
    assert all(len(message.attachments) == 3 for message in messages)
    records = await house.records()
    assert {record.state for record in records} == {State.DELIVERED}
    assert {record.requester.user_id for record in records} == {str(person.id) for person in people}


async def test_persist_waits_as_long_as_discord_says() -> None:
    headers = {"Retry-After": "0.05"}
    response = SimpleNamespace(status=429, reason="", headers=headers)
    calls = []

    async def call() -> str:
        calls.append(asyncio.get_running_loop().time())
        if len(calls) == 1:
            raise discord.HTTPException(response, {"message": "slow down", "code": 0})
        return "done"

    assert await persist.persist(call) == "done"
    assert calls[1] - calls[0] >= 0.009
