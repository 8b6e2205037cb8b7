"""/about: the model card, licences and credits."""

from __future__ import annotations

import discord

from bot.discord.texts import say


def about_embed(locale: discord.Locale | None) -> discord.Embed:
    """What composes, what it learnt from, and whose work it stands on."""
    return discord.Embed(
        title="MusicLSTM",
        description=say(locale, "An LSTM writes the notes, one step a note; FluidSynth plays them."),
        colour=0x4B3F72,
    )
