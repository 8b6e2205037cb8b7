"""Pieces in direct messages, and what becomes of them where somebody takes none."""

import pytest

from bot.history import State

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]

CLOSED = {"status": 403, "code": 50007, "times": 10}  # Cannot send messages to this user


async def test_a_piece_is_delivered_to_the_direct_messages(house, channel, ada) -> None:
    asked = await ada.slash(channel, "compose", length=16, dm=True)

    (message,) = ada.user.dm_channel.history()
    assert len(message.attachments) == 3
    assert not channel.history()
    assert asked.ephemeral
    assert f"/channels/@me/{ada.user.dm_channel.id}/{message.id}" in asked.response.content
    record = await house.only_record()
    assert (record.state, record.private) == (State.DELIVERED, True)
    assert (record.message.channel_id, record.message.message_id) == (str(ada.user.dm_channel.id), str(message.id))


async def test_the_buttons_work_in_the_direct_message(house, channel, ada) -> None:
    await ada.slash(channel, "compose", length=16, dm=True)

    await ada.user.click(ada.user.dm_channel.last_message, label="Again")

    assert house.engine.made == 2


async def test_whoever_takes_no_direct_messages_gets_the_piece_where_they_asked(
    simcord_env, house, channel, ada
) -> None:
    simcord_env.inject_error("POST", "/channels/*/messages", **CLOSED)

    asked = await ada.slash(channel, "compose", length=16, dm=True)

    assert asked.ephemeral
    assert len(asked.response.attachments) == 3
    assert "no direct messages from me" in asked.response.embeds[0].description
    assert (await house.only_record()).state is State.DELIVERED
    assert not channel.history()


async def test_variations_come_as_one_direct_message_each(channel, ada) -> None:
    await ada.slash(channel, "compose", length=16, dm=True, variations=3)

    assert [len(message.attachments) for message in ada.user.dm_channel.history()] == [3, 3, 3]
    assert not channel.history()


async def test_a_killed_bot_delivers_to_the_direct_messages_after_its_restart(
    simcord_env, house, closing, channel, ada
) -> None:
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16, dm=True)
    killed, new = simcord_env.bot, house.client_after_kill()
    await simcord_env.restart_bot(new)
    closing(new)

    assert [len(message.attachments) for message in ada.user.dm_channel.history()] == [3]
    assert not channel.history()
    await killed.close()


async def test_share_without_a_channel_sends_the_piece_to_oneself(house, channel, ada, ben) -> None:
    await ada.slash(channel, "compose", length=16)
    piece_id = channel.last_message.embeds[0].footer.text.split(" ")[0]

    shared = await ben.slash(channel, "share", id=piece_id)

    (message,) = ben.user.dm_channel.history()
    assert len(message.attachments) == 3
    assert "It is in your direct messages" in shared.response.content
    assert house.engine.made == 1


async def test_the_share_button_offers_it_too(simcord_env, channel, ada, ben) -> None:
    await ada.slash(channel, "compose", length=16)
    menu = await ben.click(channel.last_message, label="Share…")
    simcord_env.inject_error("POST", "/channels/*/messages", **CLOSED)

    sent = await ben.click(menu.response, label="To my direct messages")

    assert sent.ephemeral
    assert len(sent.response.attachments) == 3
    assert "for you alone" in sent.response.embeds[0].description


async def test_a_private_piece_of_somebody_else_is_not_sent(channel, ada, ben) -> None:
    asked = await ada.slash(channel, "compose", length=16, private=True)
    piece_id = asked.response.embeds[0].footer.text.split(" ")[0]

    refused = await ben.slash(channel, "share", id=piece_id)

    assert refused.ephemeral
    assert "no piece" in refused.response.content
