"""A server that does not have the bot, where somebody uses it who installed it for themselves."""

from pathlib import Path
from typing import Any

import discord
import pytest

from bot.history import State
from tests.bot.discord.test_compose_command import arriving_as

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]

ELSEWHERE, CHANNEL = "990000000000000001", "990000000000000002"


def in_another_server(payload: dict[str, Any]) -> None:
    """As Discord tells of a server that has not installed the bot (its guild is partial, its channel unknown)."""
    allowed = str(discord.Permissions(attach_files=True, embed_links=True, send_messages=True).value)
    payload.update(
        guild_id=ELSEWHERE,
        guild={"id": ELSEWHERE, "locale": "en-US", "features": []},
        channel_id=CHANNEL,
        channel={"id": CHANNEL, "type": 0, "name": "far-away", "position": 0, "permissions": allowed},
        authorizing_integration_owners={"1": payload["member"]["user"]["id"]},
        app_permissions=allowed,
    )


async def test_a_user_installed_bot_composes_in_a_server_that_does_not_have_it(
    monkeypatch, house, channel, ada
) -> None:
    arriving_as(monkeypatch, in_another_server)

    result = await ada.slash(channel, "compose", length=16)

    assert {Path(file.filename).suffix for file in result.response.attachments} == {".mid", ".wav", ".png"}
    record = await house.only_record()
    assert (record.state, record.requester.guild_id) == (State.DELIVERED, ELSEWHERE)


async def test_after_fifteen_minutes_it_delivers_there_by_direct_message(
    simcord_env, monkeypatch, house, channel, ada
) -> None:
    arriving_as(monkeypatch, in_another_server)
    house.engine.gate.clear()
    await ada.slash(channel, "compose", length=16)
    await simcord_env.advance_time(15 * 60 + 1)

    house.engine.gate.set()
    await simcord_env.settle()

    assert len(ada.user.dm_channel.last_message.attachments) == 3


@pytest.mark.parametrize(
    ("command", "options"),
    [
        *(
            ("history", {}),
            ("history", {"server": True}),
            ("favourites", {}),
            ("top", {}),
            ("queue", {}),
            ("stats", {}),
        ),
        *(("help", {}), ("about", {}), ("preset list", {}), ("privacy show", {}), ("privacy export", {})),
    ],
)
async def test_every_other_command_answers_there_too(monkeypatch, channel, ada, command: str, options) -> None:
    arriving_as(monkeypatch, in_another_server)

    shown = (await ada.slash(channel, command, **options)).response

    assert shown.embeds or shown.content
    assert "error" not in shown.content


async def test_nothing_is_shared_to_channels_that_the_bot_does_not_know(monkeypatch, channel, guild, ada) -> None:
    stage = guild.create_text_channel("stage")
    await ada.slash(channel, "compose", length=16)
    piece_id = channel.last_message.embeds[0].footer.text.split(" ")[0]
    arriving_as(monkeypatch, in_another_server)

    refused = await ada.slash(channel, "share", id=piece_id, channel=stage)

    assert "I may not post files" in refused.response.content
    assert not stage.history()
