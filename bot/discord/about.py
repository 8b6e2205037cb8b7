"""/about: the model card, licences and credits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import discord

from bot.discord import limits
from bot.discord.texts import say
from bot.models import Model
from data.sources import source, source_names
from engine.card import count_parameters


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
        colour=0x4B3F72,
    )
    if model is not None:
        for name, value in _card(model, locale):
            embed.add_field(name=name, value=value)
    credits_ = [f"{each.credit} ({each.licence})" for each in map(source, source_names())]
    embed.add_field(
        name=say(locale, "It learnt from"),
        value="\n".join(credits_)[: limits.EMBED_FIELD_VALUE_CHARACTERS_MAX],
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
    card = [(say(locale, "checkpoint"), f"`{model.id}`")]
    parameters = count_parameters(model.folder)
    if parameters is not None:
        card.append((say(locale, "parameters"), f"{parameters:,}"))
    sidecar = _sidecar(model.folder)
    config = sidecar.get("config", {})
    if config:
        size = f"{config.get('layers')} x {config.get('hidden')}"
        card.append((say(locale, "layers and cells"), size))
    if model.valid_nats_per_note is not None:
        loss = say(locale, "{n} nats a note", n=f"{model.valid_nats_per_note:.2f}")
        if model.baseline_nats_per_note is not None:
            loss += f" (5-gram: {model.baseline_nats_per_note:.2f})"
        card.append((say(locale, "loss on unseen music"), loss))
    corpus = sidecar.get("corpus", {})
    sources = corpus.get("sources", []) if isinstance(corpus, dict) else []
    if sources:
        lines = [f"{each['pieces']:,} · {each['source']} ({each['licence']})" for each in sources]
        card.append((say(locale, "training pieces"), "\n".join(lines)[: limits.EMBED_FIELD_VALUE_CHARACTERS_MAX]))
    return card


def _sidecar(folder: Path) -> dict[str, Any]:
    try:
        sidecar = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return sidecar if isinstance(sidecar, dict) else {}
