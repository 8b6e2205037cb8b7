"""The slash commands: thin fronts to the use cases of the studio. The options of /compose come from the grammar.

discord.py does not enforce ranges on what arrives, so every value goes through `build_request`, the only judge.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from discord import app_commands

from bot.discord import about, blind, continuing, embeds, limits, lookback, models, presets, privacy, stats
from bot.discord.asking import VARIATIONS_MAX, Interaction, compose_values
from bot.discord.errors import answering
from bot.discord.permissions import invite_url
from bot.discord.placing import everywhere
from bot.options import OPTIONS, Option
from data.errors import InvalidKey
from data.keys import TONIC_NAMES, Key

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient


def add_commands(tree: app_commands.CommandTree[MusicLSTMClient]) -> None:
    """Put every command into the tree."""
    for command in (
        _compose_command(),
        *continuing.COMMANDS,
        *lookback.COMMANDS,
        blind.blind,
        stats.stats,
        _help,
        _about,
    ):
        tree.add_command(command)
    for group in (presets.GROUP, privacy.GROUP, models.GROUP):
        tree.add_command(group)


# ---------------------------------------------------------------------------------------------------------- /compose


def _compose_command() -> app_commands.Command[Any, ..., None]:
    """/compose with one typed, described option for each entry of the grammar's table, and a few of Discord's own."""

    async def compose(
        interaction: Interaction,
        *,
        preset: str | None = None,
        variations: int | None = None,
        private: bool | None = None,
        dm: bool | None = None,
        **given: Any,
    ) -> None:
        async with answering(interaction, "/compose"):
            values = {name: value for name, value in given.items() if value is not None}
            await compose_values(
                interaction,
                values,
                preset=preset,
                private=bool(private),
                dm=bool(dm),
                variations=1 if variations is None else variations,
            )

    listed = [inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Interaction)]
    more = {
        "preset": (str, "One of your presets, for what you leave out"),
        "variations": (app_commands.Range[int, 1, VARIATIONS_MAX], "How many pieces at once, each with its own seed"),
        "private": (bool, "Only you see the piece"),
        "dm": (bool, "Sent to your direct messages"),
    }
    kinds = {option.name: _annotation(option) for option in OPTIONS} | {name: kind for name, (kind, _) in more.items()}
    for name, annotation in kinds.items():
        listed.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    compose.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]  # what discord.py reads
    described = {option.name: option.says for option in OPTIONS} | {name: says for name, (_, says) in more.items()}
    choices = {
        option.name: [app_commands.Choice(name=choice, value=choice) for choice in option.choices]
        for option in OPTIONS
        if option.choices
    }
    callback = everywhere(app_commands.choices(**choices)(app_commands.describe(**described)(compose)))
    command: app_commands.Command[Any, ..., None] = app_commands.Command(
        name="compose", description="Compose a piece: a MIDI file and its sound", callback=callback
    )
    command.autocomplete("preset")(presets.own_presets)
    command.autocomplete("key")(_keys)
    return command


async def _keys(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:  # noqa: ARG001 - the same for all
    """The keys that begin with what is typed, or the one that it means in other words (`b flat minor`)."""
    names = [f"{tonic}{mode}" for tonic in TONIC_NAMES for mode in ("m", "")]
    found = [name for name in names if name.casefold().startswith(typed.strip().casefold())]
    if not found:
        with suppress(InvalidKey):
            found = [str(Key.parse(typed))]
    return [app_commands.Choice(name=name, value=name) for name in found[: limits.OPTION_CHOICES_MAX]]


def _annotation(option: Option) -> Any:
    """The type of Discord option: a whole number, a number, or text (with choices, or free)."""
    if option.low is None or option.high is None:
        return str
    kind = int if isinstance(option.low, int) else float
    return app_commands.Range[kind, option.low, option.high]


# -------------------------------------------------------------------------------------------------------------- help


@everywhere
@app_commands.command(name="help", description="How to ask for a piece")
async def _help(interaction: Interaction) -> None:
    async with answering(interaction, "/help"):
        await interaction.response.send_message(embed=embeds.help_embed(interaction.locale), ephemeral=True)


@everywhere
@app_commands.command(name="about", description="The model, its training music, licences and credits")
async def _about(interaction: Interaction) -> None:
    async with answering(interaction, "/about"):
        known = interaction.client.studio.models
        model = None if known is None else next((each for each in await known.all() if each.current), None)
        invite = invite_url(interaction.application_id)
        embed = await asyncio.to_thread(about.about_embed, model, invite, interaction.locale)
        await interaction.response.send_message(embed=embed, ephemeral=True)
