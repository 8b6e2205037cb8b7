"""What people are shown in a terminal: one place for every sentence and table that is not an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from bot.blind import BlindTest, Duel
from bot.grammar import format_request
from bot.history import Record, State
from bot.options import OPTIONS
from bot.pieces import Piece, Remade
from bot.privacy import Kept
from bot.ratings import CheckpointRatings
from data.clock import clock
from engine.titles import title
from engine.types import ComposeRequest, Originality

CONSENT = {
    True: "Training with your favourites is allowed: pieces of yours that you starred may be learnt from, under CC0 "
    'and credited to "listeners" without your name.',
    False: "Training with your favourites is not allowed.",
}
EXAMPLE = "mood:dark length:200 temp:0.9"


def stem(request: ComposeRequest) -> str:
    """The name of a piece's files, without an ending: `dark-7kq2m9xp`."""
    return f"{request.mood}-{request.id}"


def options_help() -> str:
    """The options of a request, one line each."""
    rows = [(f"{option.name}:", option.says, option.default) for option in OPTIONS]
    lines = [f"  {name:8} {says}" + (f" (default: {default})" if default else "") for name, says, default in rows]
    choices = [f"{option.name.capitalize()}s: {', '.join(option.choices)}." for option in OPTIONS if option.choices]
    return "\n".join([*lines, *choices])


def repeat_text(request: ComposeRequest) -> str:
    """What asks for exactly this piece again; an opening is too long to be typed."""
    return format_request(request) if request.opening is None else f"/show {request.id}"


def piece_text(piece: Piece, elapsed_s: float) -> str:
    """Where a finished piece is, and everything about it."""
    request, result = piece.record.request, piece.record.result
    if result is None:  # a piece is finished: it has its result
        return f"Piece {request.id} has no result."
    return "\n".join(
        [
            f"{title(request)} ({request.mood}, {request.id})",
            f"  MIDI        {piece.midi}",
            f"  WAV         {piece.wav}",
            *([f"  OGG         {piece.ogg}"] if piece.ogg.exists() else ()),
            f"  piano roll  {piece.png}",
            f"  music       {result.notes} notes, {clock(result.duration_s)}, {result.key}, "
            f"{result.tempo_bpm:g} BPM, temp {request.temperature:g}",
            f"  seed        {request.seed}",
            f"  checkpoint  {result.checkpoint_id}",
            *_originality_lines(result.originality),
            f"  made in     {elapsed_s:.1f} s",
            f"The same again: {repeat_text(request)}",
        ]
    )


def _originality_lines(found: Originality | None) -> list[str]:
    if found is None:
        return []
    longest, closest = found.longest_copied_run_notes, found.closest_title
    lines = [f"  originality {found.own_percent} % of its phrases are its own"]
    lines[0] += f"; the longest that is in the training music too has {longest} notes" if longest else ""
    return lines if closest is None else [*lines, f"  closest to  {closest}"]


def piece_json(piece: Piece, elapsed_s: float) -> dict[str, object]:
    """The same for machines; paths are absolute, times in seconds."""
    request, result = piece.record.request, piece.record.result
    facts: dict[str, object] = {
        "id": request.id,
        "mood": str(request.mood),
        "length_notes": request.length_notes,
        "temperature": request.temperature,
        "seed": request.seed,
        "title": title(request),
        "midi": str(piece.midi),
        "wav": str(piece.wav),
        "ogg": str(piece.ogg) if piece.ogg.exists() else None,
        "png": str(piece.png),
        "elapsed_s": round(elapsed_s, 3),
    }
    if result is not None:
        facts |= {
            "checkpoint": result.checkpoint_id,
            "notes": result.notes,
            "duration_s": round(result.duration_s, 3),
            "tempo_bpm": result.tempo_bpm,
            "key": str(result.key),
            "originality": None if result.originality is None else asdict(result.originality),
        }
    return facts


def proof(remade: Remade) -> str:
    """What the digests of a piece that was made again say."""
    if remade.same_sound:
        return "Made again: every note and every sample is the same as the first time."
    if remade.same_notes:
        return "Made again: every note is the same as the first time; the sound differs, as another renderer made it."
    result = remade.piece.record.result
    if remade.other_checkpoint and result is not None:
        return (
            f"Made again with another checkpoint ({remade.checkpoint_id} now, {result.checkpoint_id} then): "
            "the notes differ."
        )
    return "Made again, but the notes differ from the first time: another machine or version made them then."


def history_text(records: list[Record], now: datetime) -> str:
    """A table of requests, newest first."""
    if not records:
        return f"Nothing yet: /compose {EXAMPLE} makes the first piece."
    return "\n".join(
        f"{record.id}  {ago(record.created_at, now):>8}  {record.state:9}  {format_request(record.request)}"
        + (f"  ({record.error})" if record.state is State.FAILED else "")
        for record in records
    )


def ago(time: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits: `5 min`, `3 h`, `2 d`."""
    seconds = max(0.0, (now - time).total_seconds())
    for unit, length_s in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit} ago"
    return "just now"


def favourites_text(records: list[Record], now: datetime) -> str:
    """A table of favourites."""
    return history_text(records, now) if records else "You have no favourites yet: /favourite ID keeps a piece."


def blind_text(test: BlindTest, paths: Sequence[Path]) -> str:
    """Where the two pieces of a blind test are."""
    files = "\n".join(f"  {name}  {path}" for name, path in zip("AB", paths, strict=True))
    return f"Which one is better?\n{files}\nListen to both, then write /vote {test.id} A or /vote {test.id} B."


def revealed_text(test: BlindTest) -> str:
    """Which checkpoint made which piece of a blind test."""
    results = (test.left.result, test.right.result)
    made = ", ".join(
        f"{name} is by {'-' if it is None else it.checkpoint_id}" for name, it in zip("AB", results, strict=True)
    )
    return f"{made}. /stats counts your vote; /show {test.left.id} and /show {test.right.id} bring the pieces."


def stats_text(stats: list[CheckpointRatings], duels: list[Duel]) -> str:
    """Each checkpoint's ratings and the votes of blind tests, with their 95 % confidence intervals."""
    lines = []
    if not stats:
        lines.append("Nobody has rated a piece yet: /rate ID followed by four numbers from 1 to 5.")
    for each in stats:
        lines.append(f"{each.checkpoint_id}: ratings {each.ratings}, people {each.raters}, pieces {each.pieces}")
        for scale, mean in each.means.items():
            margin = "" if mean.margin is None else f" ± {mean.margin:.2f}"
            lines.append(f"  {scale:11} {mean.value:.2f}{margin}")
    for duel in duels:
        votes = f"{duel.first} {duel.first_votes} : {duel.second_votes} {duel.second}"
        lines.append(f"Blind tests: {votes}, {duel.share:.0%} ({duel.low:.0%} to {duel.high:.0%})")
    return "\n".join(lines)


def kept_text(kept: Kept) -> str:
    """How much is kept about somebody."""
    since = "" if kept.since is None else f" since {kept.since:%Y-%m-%d}"
    consent = "allowed" if kept.training_consent else "not allowed"
    return (
        f"Kept about you{since}: {kept.requests} requests, {kept.favourites} favourites, {kept.presets} presets, "
        f"{kept.ratings} ratings, {kept.votes} votes. Training with your favourites is {consent}.\n"
        "/privacy export writes all of it to a file, /privacy delete deletes it."
    )
