"""What survives: commands are not written twice, unfinished pieces go on, nothing is posted twice."""

import asyncio
from datetime import timedelta

import pytest

from bot.history import History, State
from bot.quota import Limits
from bot.workshop import Workshop
from engine.errors import RenderFailed

pytestmark = [pytest.mark.simcord(settle_timeout=30.0)]


def requests(simcord_env, method: str, ending: str) -> int:
    return sum(1 for entry in simcord_env.http_requests if entry.method == method and entry.path.endswith(ending))


async def test_commands_are_written_once_over_restarts(simcord_env, house, closing) -> None:
    assert requests(simcord_env, "PUT", "/commands") == 1
    await simcord_env.bot.close()
    await simcord_env.restart_bot(again := house.client())
    closing(again)

    assert requests(simcord_env, "PUT", "/commands") == 1


async def test_commands_are_written_again_when_they_changed(simcord_env, house, closing) -> None:
    await simcord_env.bot.close()
    again = house.client()
    again.tree.remove_command("about")
    await simcord_env.restart_bot(again)
    closing(again)

    assert requests(simcord_env, "PUT", "/commands") == 2
    assert "about" not in {command.name for command in await again.tree.fetch_commands()}


async def test_commands_are_written_again_when_discord_lost_them(simcord_env, house, closing) -> None:
    await simcord_env.bot.close()
    simcord_env.backend.register_commands(None, [])
    await simcord_env.restart_bot(again := house.client())
    closing(again)

    assert len(await again.tree.fetch_commands()) == len(again.tree.get_commands())


async def test_a_killed_bot_finishes_the_piece_in_the_same_message(simcord_env, house, closing, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=20, seed=4)
    await simcord_env.advance_time(3)
    (notice,) = channel.history()
    assert "Writing note 10 of 20" in notice.content
    killed = simcord_env.bot
    new = house.client_after_kill()

    await simcord_env.restart_bot(new)
    closing(new)

    (message,) = channel.history()
    assert message.id == notice.id
    assert len(message.attachments) == 3
    assert not message.content
    record = await house.only_record()
    assert record.state is State.DELIVERED
    await killed.close()


async def test_a_bot_that_stops_says_that_the_piece_goes_on(simcord_env, house, closing, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", seed=4)
    await simcord_env.bot.close()
    (notice,) = channel.history()
    assert "restarting" in notice.content

    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    (message,) = channel.history()
    assert message.id == notice.id
    assert len(message.attachments) == 3


async def restarted_after_kill(simcord_env, house, closing):
    """A new process over what a kill -9 leaves behind; the old one says nothing more."""
    killed, new = simcord_env.bot, house.client_after_kill()
    await simcord_env.restart_bot(new)
    closing(new)
    return killed


async def test_pieces_that_waited_for_their_turn_go_on_in_their_own_messages(
    simcord_env, house, closing, monkeypatch, channel, ada, ben
) -> None:
    work = Workshop._work

    async def in_its_turn(self, job):
        if not job.ticket.turn.done():  # or simcord would wait for it, and it for the pieces that the test holds back
            await simcord_env.external_wait(asyncio.wait({job.ticket.turn}), reason="its turn in the queue")
        return await work(self, job)

    monkeypatch.setattr(Workshop, "_work", in_its_turn)
    house.engine.gate.clear()
    for person in (ada, ben):
        await person.slash(channel, "compose", length=16, variations=2)
    await simcord_env.advance_time(3)
    notices = channel.history()
    assert [("In the queue" in each.content or "Next in" in each.content) for each in notices].count(True) == 1

    killed = await restarted_after_kill(simcord_env, house, closing)

    messages = channel.history()
    assert [message.id for message in messages] == [notice.id for notice in notices]
    assert all(len(message.attachments) == 3 for message in messages)
    assert {record.state for record in await house.records()} == {State.DELIVERED}
    await killed.close()


async def test_a_finished_piece_that_discord_had_not_taken_is_delivered_and_not_made_again(
    simcord_env, house, closing, monkeypatch, channel, ada
) -> None:
    never = asyncio.Event()

    async def hanging(call):
        del call
        await simcord_env.external_wait(never.wait(), reason="an upload that the kill interrupts")

    monkeypatch.setattr("bot.discord.interaction_posts.persist", hanging)
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    (notice,) = channel.history()
    house.engine.gate.set()
    await simcord_env.settle()
    (record,) = await house.records()
    assert (record.state, record.result is not None) == (State.RUNNING, True)

    killed = await restarted_after_kill(simcord_env, house, closing)

    (message,) = channel.history()
    assert message.id == notice.id
    assert len(message.attachments) == 3
    assert house.engine.made == 0
    assert [each.state for each in await house.records()] == [State.DELIVERED]
    never.set()
    monkeypatch.undo()
    await killed.close()


async def test_a_piece_that_discord_took_before_the_kill_is_not_posted_twice(
    simcord_env, house, closing, monkeypatch, channel, ada
) -> None:
    never = asyncio.Event()

    async def hanging(*_: object) -> None:
        await simcord_env.external_wait(never.wait(), reason="a note that the kill interrupts")

    monkeypatch.setattr(simcord_env.bot.studio, "mark_delivered", hanging)
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    house.engine.gate.set()
    await simcord_env.settle()
    (posted,) = channel.history()
    assert len(posted.attachments) == 3

    killed = await restarted_after_kill(simcord_env, house, closing)

    (message,) = channel.history()
    assert message.id == posted.id
    assert [each.state for each in await house.records()] == [State.DELIVERED]
    never.set()
    await killed.close()


async def test_a_private_piece_that_a_kill_interrupts_comes_as_a_direct_message(
    simcord_env, house, closing, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16, private=True)
    await simcord_env.advance_time(3)

    killed = await restarted_after_kill(simcord_env, house, closing)

    assert not channel.history()
    assert [len(message.attachments) for message in ada.user.dm_channel.history()] == [3]
    await killed.close()


async def test_what_has_ended_is_left_alone_by_a_restart(simcord_env, house, closing, channel, ada) -> None:
    await ada.slash(channel, "compose", length=16)
    house.engine.fails.append(RenderFailed("The sound of this piece came out silent."))
    await ada.slash(channel, "compose", length=16)
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    await ada.click(channel.last_message, label="Cancel")
    before = {record.id: record.state for record in await house.records()}
    assert set(before.values()) == {State.DELIVERED, State.FAILED, State.CANCELLED}
    messages, asked = channel.history(), len(simcord_env.http_requests)

    killed = await restarted_after_kill(simcord_env, house, closing)

    assert {record.id: record.state for record in await house.records()} == before
    assert [message.id for message in channel.history()] == [message.id for message in messages]
    assert not [each.path for each in simcord_env.http_requests[asked:] if "/messages" in each.path]
    await killed.close()


async def test_whoever_waits_for_a_piece_that_stops_the_bot_again_and_again_is_told(
    simcord_env, house, closing, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    async with History(house.database) as history:
        await history.write("UPDATE requests SET attempts = 2", {})

    killed = await restarted_after_kill(simcord_env, house, closing)

    (message,) = channel.history()
    assert "I stopped 3 times while I made piece" in message.content
    assert not message.components
    assert [each.state for each in await house.records()] == [State.FAILED]
    await killed.close()


async def test_a_piece_is_cancelled_after_a_restart_by_its_old_button(
    simcord_env, house, closing, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    killed, new = simcord_env.bot, house.client_after_kill()
    house.engine.gate.clear()
    await simcord_env.restart_bot(new)
    closing(new)

    await ada.click(channel.last_message, label="Cancel")

    assert channel.last_message.content == "Cancelled."
    assert [each.state for each in await house.records()] == [State.CANCELLED]
    await killed.close()


@pytest.mark.usefixtures("quick_retries")
async def test_discord_that_fails_during_a_restart_is_asked_again(simcord_env, house, closing, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    simcord_env.inject_error("PATCH", f"/channels/{channel.id}/messages/*", status=503, times=2)

    killed = await restarted_after_kill(simcord_env, house, closing)

    assert len(channel.last_message.attachments) == 3
    await killed.close()


async def test_the_limit_of_an_hour_holds_over_a_restart_and_ends_with_the_hour(
    simcord_env, house, closing, channel, ada
) -> None:
    house.limits = Limits(user_per_hour=1)
    await restarted_after_kill(simcord_env, house, closing)
    await ada.slash(channel, "compose", length=16)
    await simcord_env.bot.close()
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    assert "within an hour" in (await ada.slash(channel, "compose", length=16)).followups[0].content
    house.later = timedelta(minutes=59)
    assert "within an hour" in (await ada.slash(channel, "compose", length=16)).followups[0].content
    house.later = timedelta(minutes=61)
    assert len((await ada.slash(channel, "compose", length=16)).response.attachments) == 3


async def test_a_piece_that_goes_on_speaks_the_language_of_its_server(simcord_env, house, closing) -> None:
    guild = simcord_env.create_guild("Raumstation", preferred_locale="de")
    channel = guild.create_text_channel("musik")
    ada = guild.add_member(simcord_env.create_user("ada"))
    house.engine.gate.clear()
    await ada.send(channel, f"{simcord_env.bot.user.mention} compose length:20")
    killed = simcord_env.bot
    new = house.client_after_kill()

    await simcord_env.restart_bot(new)
    closing(new)

    assert "Stimmung" in {field.name for field in channel.last_message.embeds[0].fields}
    await killed.close()
