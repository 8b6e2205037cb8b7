"""Every command but /compose, and the tree as Discord sees it."""

import json
from pathlib import Path
from typing import Any

import pytest

from bot.discord import limits
from bot.discord.sync import command_payload
from bot.options import OPTIONS
from tests.bot.discord.test_compose_command import arriving_as

pytestmark = [pytest.mark.simcord(settle_timeout=30.0), pytest.mark.usefixtures("closing")]

SNAPSHOT = Path(__file__).with_name("command_tree.json")


async def test_the_command_tree_is_the_one_in_the_snapshot(simcord_env) -> None:
    payload = json.loads(json.dumps(await command_payload(simcord_env.bot.tree)))
    if not SNAPSHOT.exists():
        SNAPSHOT.write_text(json.dumps(payload, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        pytest.fail(f"{SNAPSHOT.name} was missing and has been written: look at it and commit it")
    assert payload == json.loads(SNAPSHOT.read_text(encoding="utf-8")), (
        f"the commands changed: if that is meant, delete {SNAPSHOT.name}, run this test twice and commit the new one"
    )


async def test_compose_has_an_option_for_each_entry_of_the_grammar(simcord_env) -> None:
    payload = await command_payload(simcord_env.bot.tree)
    (compose,) = (command for command in payload if command["name"] == "compose")
    options = {option["name"]: option for option in compose["options"]}
    for entry in OPTIONS:
        option = options[entry.name]
        assert option["description"] == entry.says
        assert option.get("min_value") == entry.low
        assert option.get("max_value") == entry.high
        assert [choice["value"] for choice in option.get("choices", [])] == list(entry.choices)


def _characters(node: dict[str, Any]) -> int:
    # Of a text in several languages only the longest counts.
    own = len(str(node.get("value", "")))
    for key in ("name", "description"):
        own += max(len(text) for text in [node.get(key, ""), *(node.get(f"{key}_localizations") or {}).values()])
    return own + sum(_characters(child) for key in ("options", "choices") for child in node.get(key, []))


async def test_the_commands_are_within_discords_limits(simcord_env) -> None:
    for command in await command_payload(simcord_env.bot.tree):
        assert len(command["name"]) <= limits.COMMAND_NAME_CHARACTERS_MAX
        assert _characters(command) <= limits.COMMAND_CHARACTERS_MAX
        nodes = [command]
        while nodes:
            node = nodes.pop()
            descriptions = [node.get("description", ""), *node.get("description_localizations", {}).values()]
            assert all(len(text) <= limits.COMMAND_DESCRIPTION_CHARACTERS_MAX for text in descriptions), node
            assert len(node.get("options", [])) <= limits.COMMAND_OPTIONS_MAX
            assert len(node.get("choices", [])) <= limits.OPTION_CHOICES_MAX
            nodes += node.get("options", [])


async def test_history_is_for_its_asker_and_shows_the_newest_first(channel, ada, ben) -> None:
    await ada.slash(channel, "compose", mood="dark", seed=1)
    await ada.slash(channel, "compose", mood="epic", seed=2)
    await ben.slash(channel, "compose", mood="tense", seed=3)

    result = await ada.slash(channel, "history")

    assert result.ephemeral
    lines = result.response.embeds[0].description.splitlines()
    assert ["epic" in lines[0], "dark" in lines[1], len(lines)] == [True, True, 2]


async def test_the_servers_history_shows_everybody_but_no_private_piece(channel, ada, ben) -> None:
    await ada.slash(channel, "compose", mood="dark")
    await ben.slash(channel, "compose", mood="epic", private=True)

    result = await ada.slash(channel, "history", server=True)
    filtered = await ada.slash(channel, "history", server=True, mood="tense")

    assert len(result.response.embeds[0].description.splitlines()) == 1
    assert "/compose" in filtered.response.embeds[0].description


async def test_history_links_to_the_message_of_a_piece(channel, ada) -> None:
    await ada.slash(channel, "compose")
    message = channel.last_message

    result = await ada.slash(channel, "history")

    assert f"/{channel.id}/{message.id})" in result.response.embeds[0].description


async def test_show_makes_the_piece_again_and_proves_it(house, channel, ada, ben) -> None:
    await ada.slash(channel, "compose", seed=9)
    piece_id = channel.last_message.embeds[0].footer.text.split(" ")[0]

    result = await ben.slash(channel, "show", id=f" {piece_id.upper()} ")

    assert house.engine.made == 2
    assert "bit for bit" in result.response.embeds[0].description
    assert {Path(file.filename).suffix for file in result.response.attachments} == {".mid", ".wav", ".png"}


async def test_show_says_when_another_model_is_in_use(house, channel, ada) -> None:
    await ada.slash(channel, "compose", seed=9)
    piece_id = channel.last_message.embeds[0].footer.text.split(" ")[0]
    house.engine.checkpoint_id = "small-11111111"
    house.engine.seconds = 2.0

    result = await ada.slash(channel, "show", id=piece_id)

    assert "bit for bit" not in result.response.embeds[0].description


async def test_show_knows_the_nearest_id(channel, ada) -> None:
    await ada.slash(channel, "compose")
    piece_id = channel.last_message.embeds[0].footer.text.split(" ")[0]

    result = await ada.slash(channel, "show", id=piece_id[:-1] + "*")

    assert result.ephemeral
    assert f"did you mean {piece_id}?" in result.response.content


async def test_show_completes_ids_from_ones_own_pieces(channel, ada, ben) -> None:
    await ada.slash(channel, "compose", mood="dark")
    await ben.slash(channel, "compose", mood="epic")

    offered = await ada.autocomplete(channel, "show", "id", "")

    assert [("dark" in choice["name"]) for choice in offered] == [True]


@pytest.mark.parametrize(
    ("typed", "offered"),
    [("f#", ["F#m", "F#"]), ("B flat minor", ["Bbm"]), ("  g", ["Gm", "G", "G#m", "G#"]), ("H", [])],
)
async def test_compose_completes_keys(channel, ada, typed: str, offered: list[str]) -> None:
    assert [choice["value"] for choice in await ada.autocomplete(channel, "compose", "key", typed)] == offered


async def test_every_key_is_offered(channel, ada) -> None:
    assert len(await ada.autocomplete(channel, "compose", "key", "")) == 24


async def test_a_mood_that_discord_should_not_have_let_through_is_answered(monkeypatch, channel, ada) -> None:
    options = [{"name": "mood", "type": 3, "value": "jolly"}]
    arriving_as(monkeypatch, lambda payload: payload["data"].update(options=options))

    assert "mood is dark, ambient" in (await ada.slash(channel, "history")).response.content


async def test_help_names_every_option(channel, ada) -> None:
    result = await ada.slash(channel, "help")

    assert result.ephemeral
    text = str(result.response.embeds[0].to_dict())
    assert all(option.says in text for option in OPTIONS)


async def test_about_answers_its_asker_alone(channel, ada) -> None:
    result = await ada.slash(channel, "about")

    assert result.ephemeral
    assert result.response.embeds[0].title
