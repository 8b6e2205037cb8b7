"""The message that shows how a retraining goes: edited while it runs, before and after any restart of the bot."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import discord
from discord import ui
from discord.ext import tasks

from bot.discord.composing import EDIT_INTERVAL_S
from bot.discord.errors import TRANSIENT
from bot.training_run import TrainingRun

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

log = logging.getLogger(__name__)

Look = Callable[[TrainingRun], tuple[discord.Embed, ui.View]]


async def follow(
    client: MusicLSTMClient, run_id: str, look: Look, interaction: discord.Interaction[Any] | None = None
) -> None:
    """Keep the message of a run up to date until the run has ended: every EDIT_INTERVAL_S at most, and only on change.

    Args:
        client: whose studio trains.
        run_id: the run; its message is remembered (`Training.set_message`).
        look: what the message shows of a run.
        interaction: whose reply the message is, for as long as its token lives; afterwards, and without one, the
            message is edited through its channel.
    """
    await client.wait_until_ready()
    training = client.studio.training
    if training is None:
        return
    shown: dict[str, Any] = {}

    @tasks.loop(seconds=EDIT_INTERVAL_S, reconnect=False)
    async def show() -> None:
        nonlocal shown
        run, message = await training.get(run_id), await training.message(run_id)
        if message is None or client.is_closed():
            show.stop()
            return
        embed, view = look(run)
        if (now := {"embed": embed.to_dict(), "view": view.to_components()}) != shown:
            try:
                if interaction is not None and not interaction.is_expired():
                    await interaction.edit_original_response(embed=embed, view=view)
                else:
                    channel = client.get_partial_messageable(int(message.channel_id))
                    await channel.get_partial_message(int(message.message_id)).edit(embed=embed, view=view)
                shown = now
            except (discord.HTTPException, *TRANSIENT) as error:
                log.info("training %s is not shown: %s", run_id, error)
                if isinstance(error, discord.HTTPException) and error.status < 500 and error.status != 429:  # for good
                    await training.set_message(run_id, None)
                    show.stop()
                    return
        if run.state != "running" and shown == now:
            await training.set_message(run_id, None)
            show.stop()

    await show.start()
