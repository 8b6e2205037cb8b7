"""What survives: commands are not written twice, unfinished pieces go on, nothing is posted twice."""

import pytest

from bot.history import History, State

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
    async with History(house.database) as history:
        (record,) = await history.newest()
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
