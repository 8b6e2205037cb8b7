"""/about: the model card, licences and credits."""

from __future__ import annotations

import discord

from bot.discord import limits
from bot.discord.embeds import COLOUR
from bot.discord.texts import say, whole_lines
from bot.models import Model
from data.sources import source, source_names
from engine.card import Measure, count_parameters


def about_embed(model: Model | None, invite: str, locale: discord.Locale | None) -> discord.Embed:
    """What composes, what it learnt from, and whose work it stands on. Blocks: reads a few small files.

    Args:
        model: the checkpoint in use, or None where it is not known.
        invite: where the bot is added to a server.
        locale: the reader's.
    """
    embed = discord.Embed(
        title="MusicLSTM",
        description=say(locale, "An LSTM writes the notes, one step a note; FluidSynth plays them."),
        colour=COLOUR,
    )
    if model is not None:
        for name, value in _card(model, locale):
            embed.add_field(name=name, value=value)
    credits_ = [f"{each.credit} ({each.licence})" for each in map(source, source_names())]
    embed.add_field(
        name=say(locale, "It learnt from"),
        value=whole_lines(credits_, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX),
        inline=False,
    )
    embed.add_field(
        name=say(locale, "Licences"),
        value=say(locale, "The program is MIT; what it composes is CC0: yours, without conditions."),
        inline=False,
    )
    embed.add_field(name=say(locale, "In your server"), value=f"[{say(locale, 'add me')}]({invite})", inline=False)
    return embed


def _card(model: Model, locale: discord.Locale | None) -> list[tuple[str, str]]:
    about = [(say(locale, "checkpoint"), f"`{model.id}`")]
    parameters = count_parameters(model.folder)
    if parameters is not None:
        about.append((say(locale, "parameters"), f"{parameters:,}"))
    card = model.card
    if card.layers is not None and card.hidden is not None:
        about.append((say(locale, "layers and cells"), f"{card.layers} x {card.hidden}"))
    if card.measures:
        about.append((say(locale, "loss on unseen music"), "\n".join(_loss(each, locale) for each in card.measures)))
    if card.sources:
        lines = [f"{each.pieces:,} · {each.name} ({each.licence})" for each in card.sources]
        about.append((say(locale, "training pieces"), whole_lines(lines, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX)))
    return about


def _loss(measure: Measure, locale: discord.Locale | None) -> str:
    part = say(locale, "validation" if measure.part == "validation" else "test")
    line = f"{part}: {say(locale, '{n} nats a note', n=f'{measure.nats_per_note:.2f}')}"
    beside = ", ".join(f"{name} {nats:.2f}" for name, nats in measure.baselines.items())
    return f"{line} ({beside})" if beside else line
