"""What the buttons of a piece do. Every action finds its piece in history by id; nothing is kept in memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import discord
from discord import app_commands

from bot.continuing import Wish, continuation, continuation_of_file, variation
from bot.discord import attachments, embeds
from bot.discord.asking import Interaction, compose_request, compose_wish, is_moderator, requester_of
from bot.discord.errors import TRANSIENT, sentence_for
from bot.discord.interaction_posts import DirectPost, InteractionPost
from bot.discord.permissions import check_can_attach, check_can_post, is_as_open
from bot.discord.persist import persist
from bot.discord.posts import ChannelPost
from bot.discord.rating import RatingModal
from bot.discord.texts import say
from bot.errors import HistoryProblem, NotAllowed
from bot.grammar import build_request
from bot.history import MessageRef, Origin, Record, Relation
from bot.library import Library
from engine.errors import InvalidRequest
from engine.types import LENGTH_NOTES_MAX, new_id, new_seed

log = logging.getLogger(__name__)

FAVOURITE_SENTENCES = (
    "Among your favourites now; {n} like it.",
    "No longer among your favourites; {n} like it.",
)


async def known(interaction: Interaction, piece_id: str) -> Record:
    """The piece, if the one who asks may know of it. Raises NotFound."""
    return await interaction.client.studio.find(piece_id, requester_of(interaction))


async def again(interaction: Interaction, piece_id: str) -> None:
    """The same wish with a new seed."""
    record = await known(interaction, piece_id)
    request = replace(record.request, seed=new_seed(), id=new_id())
    await compose_request(interaction, request, private=record.private, origin=Origin(record.id, Relation.AGAIN))


async def continue_piece(
    interaction: Interaction, piece_id: str, given: Mapping[str, Any] | None = None, *, private: bool = False
) -> None:
    """What goes on from the end of a piece; `given` says how many notes, and what else is to be otherwise."""
    record = await known(interaction, piece_id)
    await compose_wish(
        interaction,
        lambda: continuation(interaction.client.studio, record.id, requester_of(interaction), given or {}),
        doing=f"continuing {record.id}",
        private=private or record.private,
    )


async def vary(interaction: Interaction, piece_id: str) -> None:
    """The beginning of a piece, going another way."""
    record = await known(interaction, piece_id)
    await compose_wish(
        interaction,
        lambda: variation(interaction.client.studio, record.id, requester_of(interaction)),
        doing=f"varying {record.id}",
        private=record.private,
    )


async def continue_file(
    interaction: Interaction, midi: discord.Attachment, given: Mapping[str, Any] | None = None, *, private: bool = False
) -> None:
    """What goes on from the end of a MIDI file."""

    async def find_out() -> Wish:
        content = await attachments.read_midi_file(midi, interaction.locale)
        return await continuation_of_file(interaction.client.studio, content, requester_of(interaction), given or {})

    await compose_wish(interaction, find_out, doing=f"continuing the file {midi.id}", private=private)


async def longer(interaction: Interaction, piece_id: str) -> None:
    """The same wish with twice the notes."""
    record = await known(interaction, piece_id)
    if record.request.length_notes >= LENGTH_NOTES_MAX:
        most = say(interaction.locale, "It has {n} notes already, which is the most there is.", n=LENGTH_NOTES_MAX)
        raise InvalidRequest("length", most)
    length_notes = min(2 * record.request.length_notes, LENGTH_NOTES_MAX)
    request = replace(record.request, length_notes=length_notes, id=new_id())
    await compose_request(interaction, request, private=record.private, origin=Origin(record.id, Relation.LONGER))


async def in_mood(interaction: Interaction, piece_id: str, mood: str) -> None:
    """The same wish in another mood."""
    record = await known(interaction, piece_id)
    request = replace(record.request, mood=build_request({"mood": mood}).mood, id=new_id())
    await compose_request(interaction, request, private=record.private, origin=Origin(record.id, Relation.MOOD))


async def toggle_favourite(interaction: Interaction, piece_id: str) -> None:
    """Among one's favourites or not; a piece that enough people like goes to the server's best-of channel, once."""
    studio = interaction.client.studio
    viewer = requester_of(interaction)
    record = await known(interaction, piece_id)
    on = not await studio.library.is_favourite(record, viewer)
    count = await studio.library.set_favourite(record, viewer, on=on)
    text = FAVOURITE_SENTENCES[0 if on else 1]
    await interaction.response.send_message(say(interaction.locale, text, n=count), ephemeral=True)
    if on:
        await _post_best(interaction, record)


async def _post_best(interaction: Interaction, record: Record) -> None:
    """Post a piece that enough people like to its server's best-of channel, once.

    Whoever liked it is not troubled with a channel that an administrator chose: what goes wrong is in the log alone.
    """
    servers, client = interaction.client.studio.servers, interaction.client
    guild = None if record.requester.guild_id is None else client.get_guild(int(record.requester.guild_id))
    channel_id = await servers.best_of_channel(record)
    source = record.requester.channel_id if record.message is None else record.message.channel_id
    if guild is None or channel_id is None or source is None:
        return
    if not is_as_open(guild, source, channel_id):  # nothing of a staff's channel is for everybody
        return
    if not await servers.claim_best_of(record):
        return
    try:
        note = "⭐ " + say(guild.preferred_locale, "Liked here")
        await _post_to(interaction, record, int(channel_id), note=note, locale=guild.preferred_locale)
    except Exception as error:  # a favourite is one, whatever becomes of the best-of channel
        sentence_for(error, doing=f"posting {record.id} to the best-of channel {channel_id}")
        await servers.release_best_of(record)


async def ask_rating(interaction: Interaction, piece_id: str) -> None:
    """Open the form with the four questions of the listening test."""
    record = await known(interaction, piece_id)
    await interaction.response.send_modal(RatingModal(record.id, interaction.locale))


async def remake(interaction: Interaction, piece_id: str) -> None:
    """The piece again, with the proof; a request without a piece says what became of it."""
    record = await known(interaction, piece_id)
    if record.result is None:
        embed = embeds.request_embed(record, interaction.locale)
        await interaction.response.send_message(embed=embed, ephemeral=True)
        return
    check_can_attach(interaction)
    post = InteractionPost(interaction, private=record.private)
    await post.acknowledge()
    await interaction.client.composer.show(post, record.id, requester_of(interaction))


async def show_recipe(interaction: Interaction, piece_id: str) -> None:
    """Everything that it takes to make the piece again, and where it came from."""
    record = await known(interaction, piece_id)
    lineage = await interaction.client.studio.library.lineage(record, requester_of(interaction))
    embed = embeds.recipe_embed(record, lineage, interaction.locale)
    await interaction.response.send_message(embed=embed, ephemeral=True)


async def cancel(interaction: Interaction, piece_id: str) -> None:
    """Stop a piece that waits or is being made; whoever waits for it is told in its own message.

    That replaces the message with the button or takes it away: there is nothing more to say here.
    """
    refusal = say(interaction.locale, "Only the person who asked for a piece, or a moderator, can cancel it.")
    record = await _own_or_moderated(interaction, piece_id, refusal)
    if record.state.is_final:
        state = say(interaction.locale, record.state)
        raise NotAllowed(say(interaction.locale, "Piece {id} is {state} already.", id=record.id, state=state))
    await interaction.response.defer()  # before the work, which stops within seconds
    await interaction.client.studio.cancel(record.id, requester_of(interaction), moderator=is_moderator(interaction))


def check_in_server(interaction: Interaction) -> None:
    """Raises NotAllowed outside of a server."""
    if interaction.guild is None:
        raise NotAllowed(say(interaction.locale, "There are channels to share to in servers only."))


async def share(
    interaction: Interaction,
    piece_id: str,
    channel: app_commands.AppCommandChannel | app_commands.AppCommandThread,
) -> None:
    """Post a piece in another channel, if both the one who asks and the bot may post there."""
    record = await known(interaction, piece_id)
    check_in_server(interaction)
    await interaction.client.studio.servers.check_not_blocked(requester_of(interaction))
    check_can_post(interaction, channel)
    await interaction.response.defer(thinking=True, ephemeral=True)
    note = say(interaction.guild_locale, "Shared by {who}", who=interaction.user.mention)
    message = await _post_to(interaction, record, channel.id, note=note, locale=interaction.guild_locale)
    told = say(interaction.locale, "Shared in {where}.", where=channel.mention)
    if record.private:  # or nobody else could use its buttons
        await interaction.client.studio.library.publish(record, message)
        told = say(interaction.locale, "Shared in {where}: it is not private any more.", where=channel.mention)
    await interaction.followup.send(told)


async def send_to_asker(interaction: Interaction, piece_id: str) -> None:
    """Send a piece to the direct messages of the one who asks."""
    record = await known(interaction, piece_id)
    reply = InteractionPost(interaction, private=True)
    await reply.acknowledge()
    studio = interaction.client.studio
    piece = await studio.piece(record.id, requester_of(interaction))
    message = await interaction.client.composer.post_piece(DirectPost(interaction, reply), piece)
    await studio.library.add_copy(record, message)


async def _post_to(
    interaction: Interaction, record: Record, channel_id: int, *, note: str, locale: discord.Locale | None
) -> MessageRef:
    """Post a piece in a channel for everybody there, and remember the copy. Raises as `Composer.post_piece`."""
    post = ChannelPost(
        interaction.client,
        user_id=None,
        channel_id=channel_id,
        locale=locale,
        nonce=f"{record.id}-{interaction.id % 10**12}",
    )
    piece = await interaction.client.studio.piece(record.id, requester_of(interaction))
    message = await interaction.client.composer.post_piece(post, piece, note=note)
    await interaction.client.studio.library.add_copy(record, message)
    return message


async def check_may_delete(interaction: Interaction, piece_id: str) -> Record:
    """The piece, if the one who asks may delete it: its author, or a moderator of its server.

    Raises:
        NotAllowed, NotFound: who may not.
    """
    refusal = say(interaction.locale, "Only the one who asked for a piece, or a moderator, can delete it.")
    return await _own_or_moderated(interaction, piece_id, refusal)


async def _own_or_moderated(interaction: Interaction, piece_id: str, refusal: str) -> Record:
    moderator = is_moderator(interaction)
    record = await interaction.client.studio.find(piece_id, None if moderator else requester_of(interaction))
    here = record.requester.guild_id is not None and record.requester.guild_id == str(interaction.guild_id)
    if record.requester.person != requester_of(interaction).person and not (moderator and here):
        raise NotAllowed(refusal)
    return record


async def erase(interaction: Interaction, piece_id: str) -> None:
    """Forget the piece, its files and every message that carries it."""
    record = await check_may_delete(interaction, piece_id)
    library = interaction.client.studio.library
    messages = await library.messages(record)
    await library.want_gone(messages)
    await interaction.client.studio.delete(record.id, requester_of(interaction), moderator=is_moderator(interaction))
    await interaction.response.edit_message(content=say(interaction.locale, "Deleted."), view=None)
    await take_away(interaction.client, library, messages)


async def take_away(client: discord.Client, library: Library, messages: Sequence[MessageRef]) -> None:
    """Delete messages of the bot, those that are still there; one that a single person sees is for them to dismiss.

    What Discord fails to do for now is left to the next start.
    """
    for each in messages:
        message: Any = client.get_partial_messageable(int(each.channel_id)).get_partial_message(int(each.message_id))
        try:
            await persist(message.delete)
        except (discord.HTTPException, *TRANSIENT) as error:
            log.info("message %s stays: %s", each.message_id, error)
            if not isinstance(error, discord.HTTPException) or error.status >= 500 or error.status == 429:
                continue
        try:
            await library.gone(each)
        except HistoryProblem as error:  # the bot is stopping
            log.info("the rest is taken away at the next start: %s", error)
            return
