"""What counts for the limits of an hour, whatever is deleted meanwhile."""

from dataclasses import replace

import pytest

from bot.errors import LimitReached
from bot.history import Requester
from bot.quota import Limits
from engine.types import ComposeRequest
from tests.bot.conftest import ADA, BEN, House


async def made(house: House, who: Requester = ADA) -> str:
    piece = await house.studio.compose(ComposeRequest(length_notes=16), who)
    await house.studio.mark_delivered(piece.record.id)
    return piece.record.id


@pytest.fixture
async def limited(house: House) -> House:
    await house.shut()
    await house.open(Limits(user_per_hour=3, guild_per_hour=5))
    return house


async def test_deleting_pieces_frees_no_quota_before_the_hour_is_over(limited: House) -> None:
    first = await made(limited)
    limited.later(minutes=10)
    for piece_id in (first, await made(limited)):
        await limited.studio.delete(piece_id, ADA)
    await limited.studio.servers.set_user_per_hour("10", 1, BEN)
    with pytest.raises(LimitReached, match="1 piece within an hour") as refused:
        await made(limited)
    assert refused.value.retry_after_s == pytest.approx(60 * 60, abs=1)
    await limited.studio.servers.set_user_per_hour("10", None, BEN)
    await limited.studio.delete(await made(limited), ADA)
    with pytest.raises(LimitReached, match="3 pieces within an hour") as refused:
        await made(limited)
    assert refused.value.retry_after_s == pytest.approx(50 * 60, abs=1)
    limited.later(minutes=51)
    await made(limited)


async def test_deleted_pieces_count_for_their_server_too_and_for_nobody_else(limited: House) -> None:
    for _ in range(3):
        await limited.studio.delete(await made(limited), ADA)
    elsewhere = replace(BEN, guild_id="99")
    for _ in range(3):
        await made(limited, elsewhere)
    cleo = replace(BEN, user_id="4")
    await made(limited, cleo)
    await made(limited, cleo)
    with pytest.raises(LimitReached, match="This server has asked for 5 pieces"):
        await made(limited, cleo)


async def test_forgetting_somebody_keeps_the_count_of_their_hour_in_memory_alone(limited: House) -> None:
    await limited.studio.delete(await made(limited), ADA)
    assert len((await limited.studio.privacy.export(ADA))["deleted_requests"]) == 1
    for _ in range(2):
        await made(limited)
    await limited.studio.forget(ADA)
    with pytest.raises(LimitReached):
        await made(limited)
    export = await limited.studio.privacy.export(ADA)
    assert export["requests"] == export["deleted_requests"] == []
    limited.later(minutes=61)
    await made(limited)


async def test_forgetting_oneself_again_and_again_counts_every_piece_once(limited: House) -> None:
    await made(limited)
    for _ in range(12):
        await limited.studio.forget(ADA)
    await made(limited)
    await limited.studio.forget(ADA)
    await made(limited)
    with pytest.raises(LimitReached, match="You have asked for 3 pieces"):
        await made(limited)


async def test_forgotten_pieces_count_in_the_server_where_they_were_made_and_in_no_other(limited: House) -> None:
    await made(limited)
    await limited.studio.forget(ADA)
    for there in ("10", "99"):
        await limited.studio.servers.set_user_per_hour(there, 1, BEN)
    await made(limited, replace(ADA, guild_id="99"))
    with pytest.raises(LimitReached, match="In this server you have asked for 1 piece"):
        await made(limited)


async def test_what_was_deleted_is_forgotten_when_its_hour_is_over(limited: House) -> None:
    old = await made(limited)
    await limited.studio.delete(await made(limited), ADA)
    limited.later(minutes=61)
    await limited.studio.delete(old, ADA)
    assert (await limited.studio.privacy.export(ADA))["deleted_requests"] == []
    await limited.studio.delete(await made(limited), ADA)
    limited.later(minutes=61)
    await limited.studio.tidy(keep_for=None, budget_bytes=10**9)
    assert (await limited.studio.privacy.export(ADA))["deleted_requests"] == []


async def test_a_failed_piece_that_is_deleted_counts_for_nothing(limited: House) -> None:
    for _ in range(4):
        record = await limited.studio.mark_failed(await unfinished(limited), "The channel is gone.")
        await limited.studio.delete(record.id, ADA)
    await made(limited)


async def unfinished(house: House) -> str:
    return (await house.studio.compose(ComposeRequest(length_notes=16), ADA)).record.id
