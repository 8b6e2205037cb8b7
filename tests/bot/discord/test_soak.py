"""Faults at random and a restart, for seconds or for SOAK_S.

Each request is delivered once, or its asker is told why.
"""

import asyncio
import os
import random
from collections import Counter

import pytest

from bot.discord import persist
from bot.errors import Cancelled
from bot.history import State
from bot.quota import Limits
from engine.errors import RenderFailed

pytestmark = [pytest.mark.simcord(settle_timeout=60.0, check_errors=False)]

SECONDS = float(os.environ.get("SOAK_S", "4"))
FAULTS = (
    ("PATCH", "/webhooks/*/*/messages/@original", 500, 0),
    ("PATCH", "/webhooks/*/*/messages/@original", 429, 0),
    ("PATCH", "/webhooks/*/*/messages/@original", 413, 40005),
    ("PATCH", "/webhooks/*/*/messages/@original", 404, 10008),
    ("PATCH", "/webhooks/*/*/messages/@original", 401, 50027),
    ("POST", "/webhooks/*/*", 500, 0),
    ("POST", "/interactions/*/*/callback", 404, 10062),
    ("POST", "/interactions/*/*/callback", 500, 0),
    ("PATCH", "/channels/*/messages/*", 403, 50001),
    ("POST", "/channels/*/messages", 503, 0),
    ("POST", "/channels/*/messages", 403, 50007),
    ("POST", "/channels/*/messages", 400, 160002),
    ("POST", "/users/@me/channels", 500, 0),
    ("DELETE", "/channels/*/messages/*", 404, 10008),
)
BUTTONS = ("Again", "Vary", "Continue", "Favourite", "Recipe")


async def restarted(simcord_env, house, closing):
    """The next client, which goes on with what the one before it had in the making."""
    await simcord_env.bot.close()
    house.new_engine()
    house.engine.seconds = 0.05
    await simcord_env.restart_bot(new := house.client())
    closing(new)
    return new


async def interrupted(simcord_env, house, person, channel, *, cancel: bool) -> None:
    """Ask for a piece, and cancel it or have its message deleted by somebody while it is in the making."""
    house.engine.gate.clear()
    before = {message.id for message in channel.history()}
    await person.slash(channel, "compose", length=16)
    await simcord_env.advance_time(3)
    notices = [message for message in channel.history() if message.id not in before]
    for notice in notices:
        if not cancel:
            simcord_env.backend.delete_message(channel.id, notice.id)
        elif notice.components:
            await person.click(notice, label="Cancel")
    house.engine.gate.set()
    await simcord_env.settle()


async def test_every_request_ends_delivered_or_told(simcord_env, house, closing, guild, channel, monkeypatch) -> None:
    monkeypatch.setattr(persist, "_pause_s", lambda error, _: 0.001 if error.status in {429, 500, 503} else None)
    house.limits = Limits(user_per_hour=10_000, guild_per_hour=100_000)
    new = await restarted(simcord_env, house, closing)
    rng = random.Random(7)
    people = [guild.add_member(simcord_env.create_user(f"user{n}")) for n in range(5)]
    loop = asyncio.get_running_loop()
    middle, until = loop.time() + SECONDS / 2, loop.time() + SECONDS
    asked = restarts = 0
    while loop.time() < until or not restarts:
        simcord_env.backend.faults.clear()
        if loop.time() > middle and not restarts:
            house.engine.gate.clear()
            for person in people[:3]:
                await person.slash(channel, "compose", length=16)
            new = await restarted(simcord_env, house, closing)
            restarts, asked = 1, asked + 3
        for method, path, status, code in rng.sample(FAULTS, rng.randrange(3)):
            simcord_env.inject_error(method, path, status=status, code=code, times=rng.choice((1, 2, persist.ATTEMPTS)))
        if rng.random() < 0.1:
            house.engine.fails.append(rng.choice((RenderFailed("No sound."), Cancelled("Enough."), OSError("disk"))))
        person = rng.choice(people)
        chance = rng.random()
        last = next((message for message in reversed(channel.history()) if message.components), None)
        if chance < 0.25 and last is not None:
            await person.click(last, label=rng.choice(BUTTONS))
        elif chance < 0.35:
            await person.send(channel, f"{new.user.mention} compose length:16")
        elif chance < 0.45:
            await person.slash(channel, "compose", length=16, dm=True)
        elif chance < 0.5:
            await interrupted(simcord_env, house, person, channel, cancel=rng.random() < 0.5)
        else:
            await person.slash(channel, "compose", length=16, private=rng.random() < 0.2)
        asked += 1
    simcord_env.backend.faults.clear()
    await simcord_env.settle()

    records = await house.records()
    states = Counter(record.state for record in records)
    assert asked > 10
    assert set(states) <= {State.DELIVERED, State.FAILED, State.CANCELLED}
    assert states[State.DELIVERED] > states[State.FAILED]
    assert all(record.error for record in records if record.state is State.FAILED)
    shown = Counter(
        embed.footer.text.split(" ")[0]
        for place in (channel, *(person.user.dm_channel for person in people))
        for message in place.history()
        for embed in message.embeds
        if embed.footer.text and message.attachments
    )
    assert not [piece for piece, count in shown.items() if count > 1]
    public = [record for record in records if record.state is State.DELIVERED and not record.private]
    assert all(shown[record.id] == 1 for record in public)
