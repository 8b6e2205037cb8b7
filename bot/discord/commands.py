"""The slash commands: thin fronts to the use cases of the studio. The options of /compose come from the grammar.

discord.py does not enforce ranges on what arrives, so every value goes through `build_request`, the only judge.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from discord import app_commands

from bot.discord import about, embeds, limits
from bot.discord.asking import Interaction, compose_values, requester_of
from bot.discord.errors import answering
from bot.discord.permissions import check_can_attach
from bot.discord.posts import InteractionPost
from bot.discord.texts import say
from bot.grammar import OPTIONS, Option
from bot.history import Record
from data.moods import MOODS, Mood

if TYPE_CHECKING:
    from bot.discord.client import MusicLSTMClient

HISTORY_PAGE = 10  # requests: a page fits a phone's screen without scrolling far


def add_commands(tree: app_commands.CommandTree[MusicLSTMClient]) -> None:
    """Put every command into the tree."""
    for command in (_compose_command(), _history, _show, _help, _about):
        tree.add_command(command)


# ---------------------------------------------------------------------------------------------------------- /compose


async def _compose(interaction: Interaction, **given: Any) -> None:
    async with answering(interaction, "/compose"):
        private = bool(given.pop("private", False))
        values = {name: value for name, value in given.items() if value is not None}
        await compose_values(interaction, values, private=private)


def _compose_command() -> app_commands.Command[Any, ..., None]:
    """/compose with one typed, described option for each entry of the grammar's table, and `private`."""

    async def compose(interaction: Interaction, **given: Any) -> None:
        await _compose(interaction, **given)

    listed = [inspect.Parameter("interaction", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Interaction)]
    for name, annotation in [*((option.name, _annotation(option)) for option in OPTIONS), ("private", bool)]:
        listed.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    compose.__signature__ = inspect.Signature(listed)  # type: ignore[attr-defined]  # what discord.py reads
    described = {option.name: option.says for option in OPTIONS} | {"private": "Only you see the piece"}
    choices = {
        option.name: [app_commands.Choice(name=choice, value=choice) for choice in option.choices]
        for option in OPTIONS
        if option.choices
    }
    callback = app_commands.choices(**choices)(app_commands.describe(**described)(compose))
    callback = app_commands.allowed_installs(guilds=True, users=True)(callback)
    callback = app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)(callback)
    return app_commands.Command(
        name="compose", description="Compose a piece: a MIDI file and its sound", callback=callback
    )


def _annotation(option: Option) -> Any:
    """The type of Discord option: a whole number, a number, or text (with choices, or free)."""
    if option.low is None or option.high is None:
        return str
    kind = int if isinstance(option.low, int) else float
    return app_commands.Range[kind, option.low, option.high]


# ------------------------------------------------------------------------------------------------------ looking back


@app_commands.command(name="history", description="The newest pieces, yours or the whole server's")
@app_commands.describe(server="Everybody's in this server", mood="Of this mood only")
@app_commands.choices(mood=[app_commands.Choice(name=mood, value=mood) for mood in MOODS])
@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
async def _history(interaction: Interaction, server: bool = False, mood: str | None = None) -> None:
    async with answering(interaction, "/history"):
        viewer = requester_of(interaction)
        records = await interaction.client.studio.recent(
            viewer,
            whole_server=server and viewer.guild_id is not None,
            mood=None if mood is None else Mood(mood),
            limit=HISTORY_PAGE,
        )
        title = say(interaction.locale, "The newest pieces here" if server else "Your newest pieces")
        embed = embeds.history_embed(records, title, interaction.locale)
        await interaction.response.send_message(embed=embed, ephemeral=True)


@app_commands.command(name="show", description="Make a piece again from its id, and prove that it is the same")
@app_commands.rename(piece_id="id")
@app_commands.describe(piece_id="The eight letters below a piece")
@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
async def _show(interaction: Interaction, piece_id: str) -> None:
    async with answering(interaction, "/show"):
        viewer = requester_of(interaction)
        record = await interaction.client.studio.find(piece_id, viewer)
        if record.result is None:
            embed = embeds.request_embed(record, interaction.locale)
            await interaction.response.send_message(embed=embed, ephemeral=True)
            return
        check_can_attach(interaction)
        post = InteractionPost(interaction, private=record.private)
        await post.acknowledge()
        await interaction.client.composer.show(post, record.id, viewer)


@_show.autocomplete("piece_id")
async def _own_pieces(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
    records = await interaction.client.studio.recent(requester_of(interaction), limit=limits.OPTION_CHOICES_MAX)
    named = ((_choice_name(record, interaction), record.id) for record in records if record.result is not None)
    wanted = typed.strip().casefold()
    return [app_commands.Choice(name=name, value=piece_id) for name, piece_id in named if wanted in name.casefold()]


def _choice_name(record: Record, interaction: Interaction) -> str:
    duration = "" if record.result is None else f", {embeds.clock(record.result.duration_s)}"
    notes = say(interaction.locale, "{n} notes", n=record.request.length_notes)
    return f"{record.id} · {say(interaction.locale, record.request.mood)}, {notes}{duration}"


# -------------------------------------------------------------------------------------------------------------- help


@app_commands.command(name="help", description="How to ask for a piece")
@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
async def _help(interaction: Interaction) -> None:
    async with answering(interaction, "/help"):
        await interaction.response.send_message(embed=embeds.help_embed(interaction.locale), ephemeral=True)


@app_commands.command(name="about", description="The model, its training music, licences and credits")
@app_commands.allowed_installs(guilds=True, users=True)
@app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
async def _about(interaction: Interaction) -> None:
    async with answering(interaction, "/about"):
        await interaction.response.send_message(embed=about.about_embed(interaction.locale), ephemeral=True)
