"""The ways to a person when the usual one is closed: for a piece, and for the sentence that there is none."""

import pytest

from bot.history import State
from engine.errors import RenderFailed

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing", "quick_retries")]

ORIGINAL = "/webhooks/*/*/messages/@original"
SILENT = "The sound of this piece came out silent."


async def released(simcord_env, house) -> None:
    house.engine.gate.set()
    await simcord_env.settle()


async def test_a_refusal_is_told_although_the_interaction_has_ended_early(simcord_env, house, channel, ada) -> None:
    house.engine.fails.append(RenderFailed(SILENT))
    simcord_env.inject_error("*", "/webhooks/*/*/messages/*", status=401, code=50027, times=None)
    simcord_env.inject_error("POST", "/webhooks/*/*", status=401, code=50027, times=None)

    await ada.slash(channel, "compose")

    (message,) = channel.history()
    assert SILENT in message.content


async def test_a_refusal_whose_message_was_deleted_comes_as_a_direct_message(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    house.engine.fails.append(RenderFailed(SILENT))
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(15 * 60 + 1)
    simcord_env.backend.delete_message(channel.id, channel.last_message.id)

    await released(simcord_env, house)

    assert channel.last_message is None
    assert SILENT in ada.user.dm_channel.last_message.content


async def test_a_refusal_after_a_restart_is_told_although_the_channel_is_gone(
    simcord_env, house, closing, guild, ada
) -> None:
    channel = guild.create_text_channel("stage")
    house.engine.gate.clear()
    await ada.slash(channel, "compose")
    await simcord_env.advance_time(3)
    await simcord_env.bot.close()
    simcord_env.backend.delete_channel(channel.id)
    house.new_engine()
    house.engine.fails.append(RenderFailed(SILENT))
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    assert SILENT in ada.user.dm_channel.last_message.content
    assert (await house.only_record()).state is State.FAILED


async def test_a_piece_whose_channel_was_deleted_comes_as_a_direct_message(
    simcord_env, house, closing, guild, ada
) -> None:
    channel = guild.create_text_channel("stage")
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    await simcord_env.bot.close()
    simcord_env.backend.delete_channel(channel.id)
    house.new_engine()
    await simcord_env.restart_bot(new := house.client())
    closing(new)

    assert len(ada.user.dm_channel.last_message.attachments) == 3
    assert (await house.only_record()).state is State.DELIVERED


async def test_a_thread_that_was_archived_meanwhile_means_a_direct_message(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(15 * 60 + 1)
    simcord_env.inject_error("PATCH", f"/channels/{channel.id}/*", status=400, code=50083, times=None)

    await released(simcord_env, house)

    assert len(ada.user.dm_channel.last_message.attachments) == 3


@pytest.mark.parametrize(("status", "code"), [(403, 50278), (403, 50007), (400, 50033), (404, 10013)])
async def test_whoever_cannot_be_written_to_gets_the_piece_in_the_reply(
    simcord_env, house, channel, ada, status: int, code: int
) -> None:
    simcord_env.inject_error("POST", "/channels/*/messages", status=status, code=code, times=None)

    asked = await ada.slash(channel, "compose", length=16, dm=True)

    assert len(asked.response.attachments) == 3
    assert (await house.only_record()).state is State.DELIVERED


async def test_of_somebody_who_is_gone_history_says_so(simcord_env, house, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", private=True)
    await simcord_env.advance_time(15 * 60 + 1)
    simcord_env.inject_error("POST", "/users/@me/channels", status=400, code=50033, times=None)

    await released(simcord_env, house)

    record = await house.only_record()
    assert record.state is State.FAILED
    assert "direct messages" in record.error


async def test_a_direct_message_has_one_nonce_over_a_restart(simcord_env, house, closing, channel, ada) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16, dm=True)
    killed, sending = simcord_env.bot, house.engine
    new = house.client_after_kill()
    sending.gate.set()  # Discord took the piece, and the process died before it wrote that down
    await simcord_env.settle()
    await simcord_env.restart_bot(new)
    closing(new)

    sent = [
        entry.json["nonce"]
        for entry in simcord_env.http_requests
        if entry.method == "POST" and entry.path.endswith(f"/channels/{ada.user.dm_channel.id}/messages")
    ]
    assert len(sent) == 2
    assert len(set(sent)) == 1  # Discord keeps one of the two
    await killed.close()


async def test_without_read_message_history_an_answer_is_a_message_like_any(simcord_env, channel, ada) -> None:
    simcord_env.inject_error("POST", f"/channels/{channel.id}/messages", status=400, code=160002, times=1)
    await ada.send(channel, f"{simcord_env.bot.user.mention} compose length:16")
    assert len(channel.last_message.attachments) == 3
    simcord_env.inject_error("POST", f"/channels/{channel.id}/messages", status=400, code=160002, times=1)
    await ada.send(channel, f"{simcord_env.bot.user.mention} compose mood:drak")
    assert "did you mean dark?" in channel.last_message.content


async def test_a_piece_that_was_deleted_on_its_way_does_not_stay(simcord_env, monkeypatch, channel, ada) -> None:
    studio = simcord_env.bot.studio
    delivered = studio.mark_delivered

    async def deleted_first(piece_id, message=None):
        await studio.history.delete(piece_id)
        return await delivered(piece_id, message)

    monkeypatch.setattr(studio, "mark_delivered", deleted_first)
    public = await ada.slash(channel, "compose", length=16)
    direct = await ada.slash(channel, "compose", length=16, dm=True)

    assert channel.last_message is None
    assert "has been deleted" in public.followups[-1].content
    assert "has been deleted" in direct.response.content
    (message,) = ada.user.dm_channel.history()
    assert not message.attachments
