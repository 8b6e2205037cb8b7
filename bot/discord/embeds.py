"""What people are shown: a piece with every parameter, the pages of history, the proof of a remake, help.

Text only: nothing here talks to Discord or to the studio.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import discord

from bot.discord import limits
from bot.discord.texts import plain, say, whole_lines
from bot.grammar import format_request
from bot.history import Record, Relation, Result, State
from bot.options import OPTIONS
from bot.pieces import Remade
from bot.ratings import CheckpointRatings, Mean
from bot.recipes import Recognised
from bot.workshop import Update
from data.clock import clock
from data.moods import PROFILES, Mood
from engine.titles import title
from engine.types import Originality, Stage

Locale = discord.Locale | None

COLOUR = PROFILES[Mood.DARK].colour  # of what belongs to no piece
LINEAGE_SHOWN = 8  # the nearest ancestors: one field of an embed has room for about so many
CHECKPOINTS_SHOWN = 12  # of /stats, the most rated: their fields and the blind tests' fit into one message
_TITLE_SHOWN_CHARACTERS = 200  # of somebody's file
BAR_CELLS = 16  # of a progress bar: fits a phone in one line beside its numbers
_STATE_SIGNS = {
    State.QUEUED: "⏳",
    State.RUNNING: "🎼",
    State.DELIVERED: "🎵",
    State.FAILED: "⚠️",
    State.CANCELLED: "✖️",
}
RELATIONS = {
    Relation.AGAIN: "Again, from {parent}",
    Relation.VARIED: "Varied from {parent}",
    Relation.CONTINUED: "Continued from {parent}",
    Relation.LONGER: "Longer version of {parent}",
    Relation.MOOD: "Another mood of {parent}",
}


def repeat_text(record: Record) -> str:
    """The command that asks for exactly this piece again; an opening is too long to be typed."""
    return f"/compose {format_request(record.request)}" if record.request.opening is None else f"/show id:{record.id}"


def roll_description(record: Record, locale: Locale) -> str:
    """What the picture shows, for people who cannot see it."""
    result = _result(record)
    return say(
        locale,
        "Piano roll of a {mood} piece: {notes} notes in {key} at {tempo} beats a minute, {duration} long.",
        mood=say(locale, record.request.mood),
        notes=result.notes,
        key=result.key,
        tempo=f"{result.tempo_bpm:g}",
        duration=clock(result.duration_s),
    )


def piece_embed(record: Record, *, locale: Locale = None, note: str = "", picture: str | None = None) -> discord.Embed:
    """A finished piece with every parameter, asked for or drawn, and what it takes to have it again.

    Args:
        record: `record.result` is not None.
        locale: the reader's.
        note: one more sentence, such as why the sound is not a WAV.
        picture: file name of the attached piano roll, or None.
    """
    request, result = record.request, _result(record)
    profile = PROFILES[request.mood]
    embed = discord.Embed(
        title=f"{title(request)} · {clock(result.duration_s)}",
        description=say(locale, profile.says).capitalize() + ".",
        colour=profile.colour,
    )
    for name, value in _parameters(record, result, locale):
        embed.add_field(name=name, value=value)
    if result.originality is not None:
        embed.add_field(name=say(locale, "originality"), value=_own(result.originality, locale), inline=False)
    embed.add_field(name=say(locale, "The same again"), value=f"```\n{repeat_text(record)}\n```", inline=False)
    lines = (
        [say(locale, RELATIONS[record.origin.relation], parent=f"`{record.origin.parent_id}`")] if record.origin else []
    )
    if request.opening is not None:
        lines.append(say(locale, "Its first {n} notes were given.", n=len(request.opening)))
    if note:
        lines.append(note)
    if lines:
        embed.description = "\n".join([embed.description or "", *lines])
    made_in = f"{result.sampling_s:.1f} s + {result.rendering_s:.1f} s"
    made = say(locale, "notes and sound made in {time}", time=made_in)
    embed.set_footer(text=f"{record.id} · {say(locale, 'top-p')} {request.top_p:g} · {made}")
    if picture is not None:
        embed.set_image(url=f"attachment://{picture}")
    return embed


def _parameters(record: Record, result: Result, locale: Locale) -> Iterable[tuple[str, str]]:
    """Every option of the grammar with what became of it, then what can only be measured."""
    made = {
        "space": str(record.request.room),
        "tempo": f"{result.tempo_bpm:g} BPM",
        "key": str(result.key),
        "length": say(locale, "{n} notes", n=result.notes),
    }
    for option in OPTIONS:
        given = getattr(record.request, option.field)
        value = made.get(option.name) or ("-" if given is None else str(given))
        yield say(locale, option.name), f"`{value}`"
    yield say(locale, "duration"), f"`{clock(result.duration_s)}`"
    yield say(locale, "checkpoint"), f"`{result.checkpoint_id}`"


def _own(found: Originality, locale: Locale) -> str:
    """How much of a piece is its own."""
    if not found.longest_copied_run_notes:
        return say(locale, "{share} % of its phrases are its own.", share=found.own_percent)
    return say(
        locale,
        "{share} % of its phrases are its own; the longest that is in the training music too has {n} notes.",
        share=found.own_percent,
        n=found.longest_copied_run_notes,
    )


def _result(record: Record) -> Result:
    if record.result is None:
        raise ValueError(f"piece {record.id} is not finished")
    return record.result


def bar(share: float) -> str:
    """A progress bar; `share` is 0 to 1."""
    return "▰" * int(share * BAR_CELLS) + "▱" * (BAR_CELLS - int(share * BAR_CELLS))


def progress_text(update: Update, locale: Locale) -> str:
    """How far a piece is, in one or two lines."""
    about = ""
    if update.remaining_s is not None:
        about = " · " + say(locale, "about {time} left", time=clock(max(1.0, update.remaining_s)))
    if update.stage is Stage.QUEUED:
        if update.done == 0:
            return "⏳ " + say(locale, "Next in the queue") + about
        return "⏳ " + say(locale, "In the queue, {n} ahead", n=update.done) + about
    share = update.done / update.total if update.total else 0.0
    if update.stage is Stage.SAMPLING:
        doing = say(locale, "Writing note {n} of {total}", n=update.done, total=update.total)
    else:
        doing = say(locale, "Making the sound: {n} %", n=update.done)
    return f"🎼 {doing}{about}\n`{bar(share)}`"


NOTHING_YET = "Nothing here yet: try /compose."
NOTHING_STARRED = "Nothing here yet: press ⭐ Favourite under a piece."


def history_embed(
    records: Sequence[Record],
    heading: str,
    locale: Locale,
    *,
    empty: str = NOTHING_YET,
    names: bool = False,
    likes: Sequence[int] | None = None,
) -> discord.Embed:
    """One page of history, in the order given.

    Args:
        records: what to list.
        heading: the title.
        locale: the reader's.
        empty: what to say where there is none.
        names: whether to say who asked for each.
        likes: of each record, how many people starred it; None where that does not matter.
    """
    embed = discord.Embed(title=heading, colour=COLOUR)
    lines = [_history_line(record, locale, names=names) for record in records]
    if likes:
        lines = [f"⭐ {count} {line}" for count, line in zip(likes, lines, strict=True)]
    embed.description = whole_lines(lines, limits.EMBED_DESCRIPTION_CHARACTERS_MAX) or say(locale, empty)
    embed.set_footer(text=say(locale, "/show and an id makes a piece again and proves it"))
    return embed


def _history_line(record: Record, locale: Locale, *, names: bool) -> str:
    request = record.request
    name = title(request)
    if record.state is State.DELIVERED and record.message is not None and not record.private:
        place = record.requester.guild_id or "@me"
        name = f"[{name}](https://discord.com/channels/{place}/{record.message.channel_id}/{record.message.message_id})"
    facts = [f"`{record.id}` {name}", say(locale, request.mood)]
    facts.append(say(locale, record.state) if record.result is None else clock(record.result.duration_s))
    if names:
        facts.append(plain(record.requester.user_name))
    facts.append(discord.utils.format_dt(record.created_at, "R"))
    return f"{_STATE_SIGNS[record.state]} {' · '.join(facts)}"


def request_embed(record: Record, locale: Locale) -> discord.Embed:
    """A request that has no piece (yet): waiting, failed or cancelled."""
    embed = discord.Embed(
        title=f"{_STATE_SIGNS[record.state]} {say(locale, record.state).capitalize()}",
        description=plain(say(locale, record.error)) or None,
        colour=PROFILES[record.request.mood].colour,
    )
    embed.add_field(name=say(locale, "The same again"), value=f"```\n{repeat_text(record)}\n```", inline=False)
    embed.set_footer(text=record.id)
    return embed


def recipe_embed(record: Record, lineage: Sequence[Record], locale: Locale) -> discord.Embed:
    """What it takes to make a piece again, its digests, what it is closest to, and the pieces that it came out of."""
    result = _result(record)
    embed = discord.Embed(title=title(record.request), colour=PROFILES[record.request.mood].colour)
    embed.add_field(name=say(locale, "The same again"), value=f"```\n{repeat_text(record)}\n```", inline=False)
    embed.add_field(name=say(locale, "checkpoint"), value=f"`{result.checkpoint_id}`")
    embed.add_field(name=say(locale, "top-p"), value=f"`{record.request.top_p:g}`")
    if found := result.originality:
        lines = [_own(found, locale)]
        if found.closest_title is not None:
            closest = plain(found.closest_title[:_TITLE_SHOWN_CHARACTERS])
            lines.append(say(locale, "Closest to {title}.", title=closest))
        share = found.human_own_percent
        lines.append(say(locale, "Of pieces by people, 95 in 100 have at least {share} %.", share=share))
        embed.add_field(name=say(locale, "originality"), value="\n".join(lines), inline=False)
    if lineage:
        steps = [f"`{each.id}` {title(each.request)}" for each in lineage[-LINEAGE_SHOWN:]]
        embed.add_field(name=say(locale, "Came out of"), value=" → ".join(steps), inline=False)
    digests = {"MIDI": result.midi_sha256, "WAV": result.wav_sha256}
    for name, digest in digests.items():
        embed.add_field(name=f"{name} SHA-256", value=f"`{digest}`", inline=False)
    embed.set_footer(text=record.id)
    return embed


def recognised_embed(recognised: Recognised, locale: Locale) -> discord.Embed:
    """What a file says about a piece that is in no history of ours."""
    request = recognised.request
    embed = discord.Embed(
        title=title(request),
        description=say(locale, "This file carries the recipe of a piece that I do not have."),
        colour=PROFILES[request.mood].colour,
    )
    if request.opening is None:
        again = f"```\n/compose {format_request(request)}\n```"
    else:
        again = say(locale, "Its first {n} notes were given.", n=len(request.opening))
    embed.add_field(name=say(locale, "The same again"), value=again, inline=False)
    embed.add_field(name=say(locale, "checkpoint"), value=f"`{plain(recognised.checkpoint_id)}`")
    embed.add_field(name=say(locale, "top-p"), value=f"`{request.top_p:g}`")
    embed.set_footer(text=say(locale, "Another model than this one writes other notes."))
    return embed


def stats_embed(stats: Sequence[CheckpointRatings], locale: Locale) -> discord.Embed:
    """Each model's ratings, with 95 % confidence intervals."""
    embed = discord.Embed(title=say(locale, "How people rate the pieces"), colour=COLOUR)
    if not stats:
        embed.description = say(locale, "Nobody has rated a piece yet: press Rate under one.")
    embed.set_footer(text=say(locale, "1 to 5, with 95 % confidence intervals of the raters' means"))
    for each in stats[:CHECKPOINTS_SHOWN]:
        lines = [f"{say(locale, scale)}: {_mean(mean)}" for scale, mean in each.means.items()]
        lines.append(
            say(
                locale,
                "Ratings: {n} · people: {people} · pieces: {pieces}",
                n=each.ratings,
                people=each.raters,
                pieces=each.pieces,
            )
        )
        embed.add_field(name=each.checkpoint_id[: limits.EMBED_FIELD_NAME_CHARACTERS_MAX], value="\n".join(lines))
    return embed


def _mean(mean: Mean) -> str:
    return f"**{mean.value:.1f}**" + ("" if mean.margin is None else f" ± {mean.margin:.1f}")


def proof_text(remade: Remade, locale: Locale) -> str:
    """Whether the piece made again is the piece, as shown by the digests in history."""
    if remade.same_notes and remade.same_sound:
        return "✅ " + say(locale, "Made again and proved: the same notes and the same sound, bit for bit.")
    if remade.same_notes:
        return "☑️ " + say(
            locale, "Made again: the same notes; the sound differs, so the synthesiser or its sounds have changed."
        )
    if remade.other_checkpoint:
        return "🔁 " + say(
            locale,
            "The model is {now} today and was {then} when this was written, so the notes differ.",
            now=f"`{remade.checkpoint_id}`",
            then=f"`{_result(remade.piece.record).checkpoint_id}`",
        )
    return "⚠️ " + say(locale, "The notes differ although the model is the same: another machine or other software.")


def help_embed(locale: Locale) -> discord.Embed:
    """How to ask, from the same table that reads requests."""
    embed = discord.Embed(
        title=say(locale, "Ambient, dark sci-fi music by a neural network"),
        description=say(locale, "Ask for a piece; a MIDI file and its sound come back.")
        + "\n```\n/compose mood:dark length:200 temp:0.9\n```",
        colour=COLOUR,
    )
    for option in OPTIONS:
        says = say(locale, option.says)
        if option.choices:
            says += "\n" + ", ".join(f"`{choice}`" for choice in option.choices)
        if option.default:
            says += f" ({say(locale, 'left out: {default}', default=say(locale, option.default))})"
        embed.add_field(name=option.name, value=says, inline=not option.choices)
    return embed
