"""Finished pieces and their files: one folder, `ID.mid`, `ID.wav`, `ID.ogg`, `ID.png`; digests of the first two."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from bot.history import Record, Result
from data.score import Score
from engine.errors import StorageProblem
from engine.types import Composition

_log = logging.getLogger(__name__)

_AGAIN = "-again"


def notes_digest(score: Score) -> str:
    """SHA-256 of the music alone: the tempo and every note, whatever the file formats around it."""
    lines = [f"tempo {score.tempo_bpm!r}"]
    lines += [f"{n.start_step} {int(n.part)} {n.pitch} {n.duration_steps} {n.velocity}" for n in score.notes]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A finished piece and its files, which belong to the studio (`Studio.hand_over` gives them away).

    Attributes:
        record: `record.result` is never None.
        midi, wav, png: the files; the PNG is the piano roll.
        ogg: the same sound for every player; pieces of long ago have none.
    """

    record: Record
    midi: Path
    wav: Path
    png: Path
    ogg: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Remade:
    """A piece made a second time from what history remembers, and the proof.

    Attributes:
        piece: the new files; `piece.record` is the original record.
        same_notes: every note equals the original's.
        same_sound: the WAV is bit for bit the original's.
        checkpoint_id: the model in use now; where it differs from `piece.record.result.checkpoint_id`, other notes are
            expected.
    """

    piece: Piece
    same_notes: bool
    same_sound: bool
    checkpoint_id: str

    @property
    def other_checkpoint(self) -> bool:
        """Whether another model is in use now than the one that wrote the original."""
        result = self.piece.record.result
        return result is not None and result.checkpoint_id != self.checkpoint_id


def again(piece_id: str) -> str:
    """The name of the files of a piece that was made a second time and came out differently."""
    return piece_id + _AGAIN


@dataclass(frozen=True, slots=True)
class Files:
    """Where the files of one piece are."""

    midi: Path
    wav: Path
    png: Path
    ogg: Path

    @property
    def all(self) -> tuple[Path, ...]:
        """All of them, in the same order for every piece."""
        return self.midi, self.wav, self.png, self.ogg

    def match(self, result: Result) -> bool:
        """Whether MIDI and WAV are there, and bit for bit what the result says. Blocks: reads both."""
        try:
            return _digest(self.midi) == result.midi_sha256 and _digest(self.wav) == result.wav_sha256
        except OSError:
            return False

    def midi_content(self, result: Result) -> bytes | None:
        """The MIDI file if it is there, and bit for bit what the result says; else None. Blocks."""
        try:
            content = self.midi.read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == result.midi_sha256 else None


class PieceFolder:
    """The folder of all pieces. Its methods block: run them in a thread."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    def files(self, name: str) -> Files:
        """Where the files of that name are, or would be."""
        return Files(*(self.path / f"{name}.{suffix}" for suffix in ("mid", "wav", "png", "ogg")))

    def piece(self, record: Record, name: str | None = None) -> Piece:
        """The finished piece of a record; its files have another name than its id when it was made again otherwise."""
        files = self.files(name or record.id)
        return Piece(record=record, midi=files.midi, wav=files.wav, png=files.png, ogg=files.ogg)

    def keep(self, composition: Composition, name: str) -> Result:
        """Take the files of a finished piece into the folder and measure them.

        Raises:
            StorageProblem: the folder cannot be written.
        """
        files = self.files(name)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if composition.wav.absolute() != files.wav:
                shutil.move(composition.wav, files.wav)
            _write(files.midi, composition.midi)
            _write(files.png, composition.roll_png)
            if composition.ogg:
                _write(files.ogg, composition.ogg)
            wav_sha256 = _digest(files.wav)
        except OSError as error:
            self.remove(name)
            with contextlib.suppress(OSError):
                composition.wav.unlink(missing_ok=True)
            raise StorageProblem(f"The piece cannot be kept in {self.path}: {error.strerror or error}.") from error
        return Result(
            checkpoint_id=composition.checkpoint_id,
            key=composition.key,
            tempo_bpm=composition.score.tempo_bpm,
            notes=len(composition.score.notes),
            duration_s=composition.duration_s,
            sampling_s=composition.sampling_s,
            rendering_s=composition.rendering_s,
            notes_sha256=notes_digest(composition.score),
            midi_sha256=hashlib.sha256(composition.midi).hexdigest(),
            wav_sha256=wav_sha256,
            originality=composition.originality,
        )

    def rename(self, old: str, new: str) -> None:
        """Put the files of one name in the place of those of another."""
        for source, target in zip(self.files(old).all, self.files(new).all, strict=True):
            if source.exists():
                source.replace(target)
            else:
                target.unlink(missing_ok=True)

    def hand_over(self, name: str, folder: Path, stem: str) -> Files:
        """Move files out to `folder` as `STEM.mid`, `STEM.wav`, …, over those that may be there.

        The MIDI file of a piece stays here too, a few kilobytes: it is what a continuation begins with.

        Raises:
            StorageProblem: the other folder cannot be written.
        """
        ours, theirs = self.files(name), PieceFolder(folder).files(stem)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ours.midi, theirs.midi)
            if name.endswith(_AGAIN):
                ours.midi.unlink()
            for source, target in zip(ours.all[1:], theirs.all[1:], strict=True):
                if source.exists() or source is not ours.ogg:
                    shutil.move(source, target)
        except OSError as error:
            raise StorageProblem(f"The files cannot be written to {folder}: {error.strerror or error}.") from error
        return theirs

    def remove(self, name: str) -> None:
        """Delete a piece's files, those that exist; what cannot be deleted now is left to `bot.upkeep`."""
        for path in (*self.files(name).all, *self.files(again(name)).all):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                _log.warning("%s cannot be deleted: %s", path, error)


def _write(path: Path, content: bytes) -> None:
    """Write so that nobody ever sees half a file."""
    unfinished = path.with_suffix(path.suffix + ".part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
