"""/admin: what the administrators of a server decide.

Discord hides the group from others (default permissions), but an administrator of a server may show it to anybody, so
each command checks again. Every change is in the audit.
"""

from __future__ import annotations

import discord
from discord import app_commands

from bot.discord import limits
from bot.discord.asking import Interaction, requester_of
from bot.discord.embeds import COLOUR
from bot.discord.errors import answering
from bot.discord.permissions import check_can_send, owners
from bot.discord.placing import SERVER_CONTEXTS, SERVER_INSTALLS, TextChannel
from bot.discord.texts import plain, say, whole_lines
from bot.errors import NotAllowed

NOTHING = "`-`"  # a bare dash would be read as the start of a list

GROUP: app_commands.Group = app_commands.Group(
    name="admin",
    description="For the administrators of this server",
    default_permissions=discord.Permissions(administrator=True),
    allowed_installs=SERVER_INSTALLS,
    allowed_contexts=SERVER_CONTEXTS,
    guild_only=True,
)


def _server(interaction: Interaction) -> str:
    """The server's id, if the one who asks administers it. Raises NotAllowed."""
    if interaction.guild_id is None or not interaction.permissions.administrator:
        raise NotAllowed(say(interaction.locale, "That is for the administrators of this server."))
    return str(interaction.guild_id)


async def _say(interaction: Interaction, sentence: str, **values: object) -> None:
    await interaction.response.send_message(say(interaction.locale, sentence, **values), ephemeral=True)


@GROUP.command(name="defaults", description="What a request means here when it leaves something out")
@app_commands.describe(request="Such as mood:ambient length:300; left out, back to the program's own")
async def defaults(interaction: Interaction, request: app_commands.Range[str, 1, 1000] | None = None) -> None:
    """/admin defaults."""
    async with answering(interaction, "/admin defaults"):
        servers = interaction.client.studio.servers
        text = await servers.set_defaults(_server(interaction), request or "", requester_of(interaction))
        if text:
            await _say(interaction, "Defaults here: {text}", text=f"`{text}`")
        else:
            await _say(interaction, "Nothing is set here any more: what a request leaves out is as the program has it.")


@GROUP.command(name="limits", description="How many pieces one person may ask for here in an hour")
@app_commands.describe(pieces="0 to 1000; left out, back to the program's own limit")
async def limit(interaction: Interaction, pieces: app_commands.Range[int, 0, 1000] | None = None) -> None:
    """/admin limits."""
    async with answering(interaction, "/admin limits"):
        servers = interaction.client.studio.servers
        await servers.set_user_per_hour(_server(interaction), pieces, requester_of(interaction))
        if pieces is None:
            n = interaction.client.studio.limits.user_per_hour
            await _say(interaction, "Nothing is set here any more: the program's own limit is {n} pieces an hour.", n=n)
        else:
            await _say(interaction, "Pieces an hour for one person: {n}", n=pieces)


@GROUP.command(name="block", description="Take no more requests from somebody here")
@app_commands.describe(user="Who")
async def block(interaction: Interaction, user: discord.User) -> None:
    """/admin block."""
    async with answering(interaction, "/admin block"):
        servers = interaction.client.studio.servers
        await servers.block(f"discord:{user.id}", _server(interaction), requester_of(interaction))
        await _say(interaction, "{who} is blocked here.", who=user.mention)


@GROUP.command(name="unblock", description="Take requests from somebody again")
@app_commands.describe(user="Who")
async def unblock(interaction: Interaction, user: discord.User) -> None:
    """/admin unblock."""
    async with answering(interaction, "/admin unblock"):
        servers = interaction.client.studio.servers
        await servers.unblock(f"discord:{user.id}", _server(interaction), requester_of(interaction))
        await _say(interaction, "{who} is not blocked here.", who=user.mention)


@GROUP.command(name="best-of", description="The channel for pieces that enough people like")
@app_commands.describe(channel="Left out, nowhere", favourites="How many people have to like a piece")
async def best_of(
    interaction: Interaction,
    channel: TextChannel | None = None,
    favourites: app_commands.Range[int, 1, 1000] = 3,
) -> None:
    """/admin best-of."""
    async with answering(interaction, "/admin best-of"):
        guild_id = _server(interaction)
        if channel is not None:
            check_can_send(interaction, channel)
        servers = interaction.client.studio.servers
        where = None if channel is None else str(channel.id)
        await servers.set_best_of(guild_id, where, favourites, requester_of(interaction))
        if channel is None:
            await _say(interaction, "No channel for the best pieces.")
        else:
            await _say(
                interaction, "Pieces that {n} people like are posted in {where}.", n=favourites, where=channel.mention
            )


@GROUP.command(name="announce", description="Say something as the bot")
@app_commands.describe(channel="Where", text="What")
async def announce(interaction: Interaction, channel: TextChannel, text: app_commands.Range[str, 1, 2000]) -> None:
    """/admin announce."""
    async with answering(interaction, "/admin announce"):
        guild_id = _server(interaction)
        check_can_send(interaction, channel)
        await interaction.response.defer(thinking=True, ephemeral=True)
        embed = discord.Embed(description=text, colour=COLOUR)
        message = await interaction.client.get_partial_messageable(channel.id).send(embed=embed)
        await interaction.client.studio.servers.note(guild_id, requester_of(interaction), "announce", text)
        await interaction.followup.send(message.jump_url)


@GROUP.command(name="audit", description="What administrators did here, the latest first")
async def audit(interaction: Interaction) -> None:
    """/admin audit."""
    async with answering(interaction, "/admin audit"):
        owner = interaction.user.id in owners(interaction.client)  # whose business the models are
        entries = await interaction.client.studio.servers.audit(_server(interaction), whole_bot=owner)
        lines = [
            f"{discord.utils.format_dt(entry.at, 'f')} **{plain(entry.person_name)}** {entry.action}: "
            f"{plain(entry.details)[:120]}"
            for entry in entries
        ]
        embed = discord.Embed(
            title=say(interaction.locale, "Audit"),
            description=whole_lines(lines, limits.EMBED_DESCRIPTION_CHARACTERS_MAX)
            or say(interaction.locale, "Nothing yet."),
            colour=COLOUR,
        )
        await interaction.response.send_message(embed=embed, ephemeral=True)


@GROUP.command(name="health", description="How the bot is doing")
async def health(interaction: Interaction) -> None:
    """/admin health."""
    async with answering(interaction, "/admin health"):
        guild_id = _server(interaction)
        client = interaction.client
        settings = await client.studio.servers.settings(guild_id)
        people = [f"<@{person.removeprefix('discord:')}>" for person in await client.studio.servers.blocked(guild_id)]
        blocked = whole_lines(people, limits.EMBED_FIELD_VALUE_CHARACTERS_MAX)
        locale = interaction.locale
        facts = {
            say(locale, "pieces waiting"): client.studio.waiting,
            say(locale, "notes written by"): (client.studio.models and client.studio.models.written_by) or NOTHING,
            say(locale, "gateway latency"): f"{client.latency * 1000:.0f} ms" if client.latency < 60 else NOTHING,
            say(locale, "shards"): client.shard_count or 1,
            say(locale, "servers"): len(client.guilds),
            say(locale, "running since"): discord.utils.format_dt(client.started_at, "R"),
            say(locale, "defaults here"): f"`{settings.defaults or '-'}`",
            say(locale, "pieces an hour here"): NOTHING if settings.user_per_hour is None else settings.user_per_hour,
            say(locale, "blocked here"): blocked or NOTHING,
        }
        embed = discord.Embed(title=say(interaction.locale, "Health"), colour=COLOUR)
        for name, value in facts.items():
            embed.add_field(name=name, value=str(value))
        await interaction.response.send_message(embed=embed, ephemeral=True)
