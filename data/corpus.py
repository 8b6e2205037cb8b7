"""The corpus as the trainer sees it: pieces with their mood, read from the folder that `./run data add` fills."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from data.catalogue import Entry, entries_of, midi_path
from data.composers import display_names
from data.errors import CorpusProblem, InvalidMidi
from data.half_time import half_time
from data.midi import read_midi
from data.moods import Mood
from data.score import Score

DEFAULT_FOLDER = Path("var/corpus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of training music.

    Attributes:
        sha256: of its MIDI file; names the piece.
        title: as the source gives it.
        composer: one spelling for each person over the whole corpus; "Anonymous" where nobody is known.
        source: where it is from.
        licence: SPDX identifier.
        credit: the line that the licence asks for.
        mood: the override if a person gave one, else the estimate.
        mood_confidence: of the estimate, 1/8 to 1; 1.0 where a person or the source gave the mood.
        score: the notes as they are trained on, the catalogue's transformation applied.
    """

    sha256: str
    title: str
    composer: str
    source: str
    licence: str
    credit: str
    mood: Mood
    mood_confidence: float = 1.0
    score: Score


def load_corpus(folder: Path) -> list[Piece]:
    """All pieces of a corpus, in the order of its catalogue: the same on every machine.

    Raises:
        CorpusProblem: there is no corpus, or a file is missing or is not the one that was added.
    """
    entries = entries_of(folder)
    names = display_names(entry.composer for entry in entries)
    return [_piece(folder, entry, names[entry.composer]) for entry in entries]


def corpus_hash(pieces: Sequence[Piece]) -> str:
    """Names a corpus: SHA-256 in hexadecimal of every piece's file, mood, tempo and number of notes, in any order."""
    lines = sorted(f"{p.sha256} {p.mood} {p.score.tempo_bpm} {len(p.score.notes)}\n" for p in pieces)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_score(folder: Path, entry: Entry) -> Score:
    """The score of one entry, its transformation applied.

    Raises:
        CorpusProblem: the file is missing or is not the one that was added.
    """
    path = midi_path(folder, entry.sha256)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CorpusProblem(f"{path} ({entry.title}) cannot be read: add that file again.") from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise CorpusProblem(f"{path} ({entry.title}) was changed since it was added: add that file again.")
    try:
        score = read_midi(data).score
    except InvalidMidi as error:
        raise CorpusProblem(f"{path} ({entry.title}) is not usable: {error}") from error
    return half_time(score) if entry.half_time else score


def _piece(folder: Path, entry: Entry, composer: str) -> Piece:
    return Piece(
        sha256=entry.sha256,
        title=entry.title,
        composer=composer,
        source=entry.source,
        licence=entry.licence,
        credit=entry.credit,
        mood=entry.effective_mood,
        mood_confidence=1.0 if entry.mood_override else entry.confidence,
        score=read_score(folder, entry),
    )
