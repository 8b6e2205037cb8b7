from dataclasses import replace

import pytest

from bot.errors import LimitReached, NotAllowed, NotFound
from bot.grammar import parse_values
from bot.presets import PRESETS_MAX, Preset
from bot.servers import ServerSettings
from data.moods import Mood
from engine.errors import InvalidRequest
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, EVE, TERMINAL, House


async def test_a_preset_is_kept_under_its_name_for_its_owner(house: House) -> None:
    presets = house.studio.presets
    await presets.save(ADA, "  Night  Drive ", "dark, length:400 tempo:50")
    await presets.save(ADA, "bright", "hopeful")
    assert await presets.all(ADA) == [
        Preset("bright", "mood:hopeful"),
        Preset("night drive", "mood:dark length:400 tempo:50"),
    ]
    assert await presets.get(ADA, "NIGHT DRIVE") == {"mood": Mood.DARK, "length": 400, "tempo": 50}
    assert await presets.all(BEN) == []
    await presets.save(ADA, "bright", "epic")
    assert (await presets.get(ADA, "bright"))["mood"] is Mood.EPIC
    await presets.save(BEN, "bright", "tense")
    await presets.delete(ADA, "Bright")
    assert await presets.all(BEN) == [Preset("bright", "mood:tense")]
    with pytest.raises(NotFound, match=r"You have no preset 'nigth drive' \(did you mean night drive\?\)\."):
        await presets.get(ADA, "nigth drive")
    with pytest.raises(NotFound):
        await presets.delete(ADA, "bright")


@pytest.mark.parametrize(
    ("name", "text"), [("", "dark"), ("x" * 33, "dark"), ("a\x00b", "dark"), ("night", ""), ("night", "length:5")]
)
async def test_a_preset_that_cannot_be_used_is_refused(name: str, text: str, house: House) -> None:
    with pytest.raises(InvalidRequest):
        await house.studio.presets.save(ADA, name, text)
    assert await house.studio.presets.all(ADA) == []


async def test_presets_have_a_limit_but_can_be_changed_at_it(house: House) -> None:
    for number in range(PRESETS_MAX):
        await house.studio.presets.save(ADA, str(number), "dark")
    with pytest.raises(InvalidRequest, match="which is the limit"):
        await house.studio.presets.save(ADA, "one more", "dark")
    await house.studio.presets.save(ADA, "0", "epic")


async def test_what_is_said_wins_over_the_preset_and_that_over_the_server(house: House) -> None:
    await house.studio.servers.set_defaults("10", "ambient length:100 temp:1.1", BEN)
    await house.studio.presets.save(ADA, "night", "dark length:400")
    made = await house.studio.request_for(ADA, parse_values("length:32"), preset="night")
    assert (made.mood, made.length_notes, made.temperature) == (Mood.DARK, 32, 1.1)
    made = await house.studio.request_for(ADA, {})
    assert (made.mood, made.length_notes) == (Mood.AMBIENT, 100)
    for elsewhere in (EVE, TERMINAL):
        assert (await house.studio.request_for(elsewhere, {})).length_notes == 200


async def test_defaults_without_sense_are_refused(house: House) -> None:
    for text in ("length:5", "seed:7", "nonsense"):
        with pytest.raises(InvalidRequest):
            await house.studio.servers.set_defaults("10", text, BEN)
    assert await house.studio.servers.settings("10") == ServerSettings()
    assert await house.studio.servers.audit("10") == []


async def test_every_change_is_in_the_audit_of_its_server(house: House) -> None:
    servers = house.studio.servers
    await servers.set_defaults("10", "tense", BEN)
    await servers.set_user_per_hour("10", 5, BEN)
    await servers.block(EVE.person, "10", ADA)
    await servers.note(None, ADA, "promote", "v2")
    assert [(entry.person_name, entry.action, entry.details) for entry in await servers.audit("10")] == [
        ("Ada", "block", "discord:3"),
        ("Ben", "set", "user_per_hour = 5"),
        ("Ben", "set", "defaults = mood:tense"),
    ]
    assert [entry.action for entry in await servers.audit(None)] == ["promote"]
    assert await servers.settings("10") == ServerSettings(defaults="mood:tense", user_per_hour=5)


async def test_a_server_may_lower_the_limit_of_each_person_within_it(house: House) -> None:
    await house.studio.servers.set_user_per_hour("10", 1, BEN)
    await house.studio.compose(ComposeRequest(length_notes=16), ADA)
    with pytest.raises(LimitReached, match="In this server you have asked for 1 piece within an hour"):
        await house.studio.compose(ComposeRequest(length_notes=16), ADA)
    await house.studio.compose(ComposeRequest(length_notes=16), BEN)
    await house.studio.servers.set_user_per_hour("10", 0, BEN)
    with pytest.raises(LimitReached, match="Nobody"):
        await house.studio.compose(ComposeRequest(), BEN)
    await house.studio.compose(ComposeRequest(length_notes=16), EVE)
    for wrong in (-1, 1001):
        with pytest.raises(InvalidRequest):
            await house.studio.servers.set_user_per_hour("10", wrong, BEN)


async def test_a_blocked_person_is_refused_in_that_server(house: House) -> None:
    servers = house.studio.servers
    made = await house.studio.compose(ComposeRequest(length_notes=16), ADA)
    await servers.block(ADA.person, "10", BEN)
    with pytest.raises(NotAllowed, match="in this server"):
        await house.studio.compose(ComposeRequest(), ADA)
    with pytest.raises(NotAllowed, match="in this server"):
        await house.studio.remake(made.record.id, ADA)
    assert await servers.blocked("10") == [ADA.person]
    assert await servers.blocked("20") == []
    await house.studio.compose(ComposeRequest(length_notes=16), replace(ADA, guild_id="20"))
    await servers.block(ADA.person, "20", BEN)
    await servers.unblock(ADA.person, "10", BEN)
    assert await servers.blocked("20") == [ADA.person]
    await house.studio.compose(ComposeRequest(length_notes=16), ADA)


async def test_a_piece_that_enough_people_like_goes_to_the_best_of_channel_once(house: House) -> None:
    servers, library = house.studio.servers, house.studio.library
    record = (await house.studio.compose(ComposeRequest(length_notes=16), ADA)).record
    hidden = (await house.studio.compose(ComposeRequest(length_notes=16), ADA, private=True)).record
    for each in (record, hidden):
        await library.set_favourite(each, ADA)
    assert await servers.best_of_channel(record) is None
    await servers.set_best_of("10", "555", 2, BEN)
    assert await servers.best_of_channel(record) == "555"
    assert await servers.best_of_channel(hidden) is None
    assert not await servers.claim_best_of(record)
    await library.set_favourite(record, BEN)
    assert await servers.claim_best_of(record)
    assert not await servers.claim_best_of(record)


async def test_a_preset_that_says_auto_goes_before_what_the_server_says(house: House) -> None:
    await house.studio.servers.set_defaults("10", "tempo:60 space:void", BEN)
    preset = await house.studio.presets.save(ADA, "free", "dark tempo:auto space:any")
    assert preset.text == "mood:dark tempo:auto space:auto"
    request = await house.studio.request_for(ADA, {}, preset="free")
    assert (request.tempo_bpm, request.space) == (None, None)
