"""The renderer: one call from a score to its files."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.keys import Key
from data.midi import write_midi
from data.moods import Mood
from data.score import PROGRAMS, Part, Score
from data.spaces import DEFAULT_SPACES, Space
from engine.errors import Cancelled, RenderFailed
from engine.render import stems
from engine.render.audio_file import WavWriter, atomic, storage_problem
from engine.render.bank import OWN_PARTS, default_cache, ensure_bank
from engine.render.excerpt import ensure_excerpt
from engine.render.fluidsynth import SAMPLE_RATE_HZ, FluidSynth, Stem
from engine.render.formats import VORBIS_LEVEL
from engine.render.master import BLOCK_FRAMES, finish
from engine.render.place import place
from engine.render.roll import draw_roll
from engine.render.soundfont import find_soundfont
from engine.render.space import CHARACTERS, room
from engine.render.tags import Tags, midi_texts, wav_chunks
from engine.render.vorbis import encode_ogg
from engine.types import DURATION_MAX_S

MAX_NOTES = 100_000
_SYNTHESIS_PERCENT = 55  # what follows, mostly the encoding, takes the rest
_REPORT_S = 0.2
_IN_MEMORY_S = 600.0  # 212 MB
_GENERAL_PROGRAMS = tuple(PROGRAMS[part] for part in Part if part not in OWN_PARTS)


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """The files of a piece.

    Attributes:
        midi: a Standard MIDI File.
        wav: 44.1 kHz 16-bit stereo; the caller owns it.
        ogg: the same as OGG Vorbis, which every player in a browser or a telephone takes; about 0.5 MB a minute.
        roll_png: piano roll and spectrum.
        duration_s: of the WAV, its tail included.
    """

    midi: bytes
    wav: Path
    ogg: bytes
    roll_png: bytes
    duration_s: float


class Renderer:
    """Turns scores into files. Synchronous: call it in an executor or a worker process.

    Args:
        soundfont: a General MIDI font, or None: the best one in the usual places.
        cache: the folder that keeps the project's own sound bank and the excerpt of the soundfont, or None: the user's
            cache folder.
    """

    def __init__(self, *, soundfont: Path | None = None, cache: Path | None = None) -> None:
        self._soundfont = soundfont
        self._cache = cache

    def check(self) -> None:
        """Find out, before any work, whether rendering is possible here; a millisecond.

        The first time, the project's sound bank and an excerpt of the soundfont are made, which takes three seconds.

        Raises:
            SetupProblem: FluidSynth or the soundfont is missing or damaged; the sentence names the package.
            StorageProblem: the cache folder cannot be written.
        """
        self._synth()

    def render(
        self,
        score: Score,
        *,
        title: str,
        recipe: Sequence[str],
        folder: Path,
        name: str,
        mood: Mood,
        space: Space | None = None,
        key: Key | None = None,
        progress: Callable[[int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Rendered:
        """Make the files of one piece. The same arguments always give the same bytes.

        Args:
            score: at least one note.
            title: shown in the picture and embedded in every file.
            recipe: lines that say how to make the piece again, embedded in every file.
            folder: where the WAV goes; it exists.
            name: of the WAV, without suffix; a plain file name.
            mood: chooses colours.
            space: where it sounds, or None: the mood's own.
            key: said in the MIDI file, or None.
            progress: called with a percentage that grows from 0 to 100.
            cancelled: polled at least every 50 ms of waiting for the synthesiser.

        Raises:
            RenderFailed: the piece cannot be turned into sound: too long, too many notes, silent, …
            SetupProblem: FluidSynth or the soundfont is missing or damaged.
            StorageProblem: the disk is full or the folder cannot be written.
            Cancelled: `cancelled()` was true. Nothing is left behind by any error.
        """
        if not name or Path(name).name != name:
            raise ValueError(f"{name!r} is not a plain file name")
        _check_score(score)
        synth = self._synth()
        report = _Report(progress)
        space = space or DEFAULT_SPACES[mood]
        character = CHARACTERS[space]
        tags = Tags(title, tuple(recipe))
        midi = write_midi(score, title=title, texts=midi_texts(recipe), key=key)
        frames = round((score.duration_s + character.tail_s) * SAMPLE_RATE_HZ)
        sound = _room_for(frames)
        self._play(synth, midi, score, space, sound, report, cancelled)
        finish(sound, SAMPLE_RATE_HZ, character)
        report(_SYNTHESIS_PERCENT)
        encoded = 0

        def master(start: int, stop: int) -> npt.NDArray[np.float32]:
            nonlocal encoded
            if cancelled is not None and cancelled():
                raise Cancelled
            encoded += stop - start
            return sound[:, start:stop].T

        wav = folder / f"{name}.wav"
        with ThreadPoolExecutor(3) as pool, atomic(wav) as file:
            encoding = pool.submit(encode_ogg, master, frames, SAMPLE_RATE_HZ, tags, VORBIS_LEVEL, pool)
            writer = WavWriter(file, SAMPLE_RATE_HZ, wav_chunks(tags, SAMPLE_RATE_HZ))
            for start in range(0, frames, BLOCK_FRAMES):
                writer.write(master(start, min(frames, start + BLOCK_FRAMES)))
            writer.finish()
            roll_png = draw_roll(score, title, mood, sound, SAMPLE_RATE_HZ)
            while not encoding.done():  # it stops by itself when the piece is cancelled
                wait([encoding], _REPORT_S)
                share = min(1.0, encoded / (2 * frames))  # where both encoders work, some of it is encoded twice
                report(_SYNTHESIS_PERCENT + int((99 - _SYNTHESIS_PERCENT) * share))
            ogg = encoding.result()
        report(100)
        return Rendered(midi, wav, ogg, roll_png, frames / SAMPLE_RATE_HZ)

    def _play(
        self,
        synth: FluidSynth,
        midi: bytes,
        score: Score,
        space: Space,
        sound: npt.NDArray[np.float32],
        report: _Report,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        """Fill `sound` [2, frames] with the piece in its space."""
        frames = sound.shape[1]
        end_tick = round(frames / SAMPLE_RATE_HZ * score.tempo_bpm / 60 * stems.ticks_per_beat(midi))
        place_in = room(space, SAMPLE_RATE_HZ)
        groups = stems.plan_stems(score)
        files = stems.split(midi, [group.parts for group in groups], end_tick)
        blocks = synth.blocks(
            [
                Stem(file, group.divider, general=not OWN_PARTS.issuperset(group.parts))
                for file, group in zip(files, groups, strict=True)
            ],
            frames,
            block_frames=place_in.hop_frames,
            cancelled=cancelled,
            received=lambda done: report(_SYNTHESIS_PERCENT * done // frames),
        )
        with contextlib.closing(blocks):
            place(blocks, groups, place_in, sound)

    def _synth(self) -> FluidSynth:
        """FluidSynth with its fonts, checked."""
        font = self._soundfont or find_soundfont()
        FluidSynth([font]).check()
        cache = self._cache or default_cache()
        bank = ensure_bank(cache)
        return FluidSynth([ensure_excerpt(font.expanduser(), _GENERAL_PROGRAMS, cache), bank])


def _room_for(frames: int) -> npt.NDArray[np.float32]:
    """[2, frames]: in memory, or for a very long piece in a temporary file that has no name.

    Raises:
        StorageProblem: the disk has no room for it; said now, since a later write to mapped memory would be a crash.
    """
    if frames <= _IN_MEMORY_S * SAMPLE_RATE_HZ:
        return np.empty((2, frames), np.float32)
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, 8 * frames)
            return np.memmap(file, np.float32, "w+", shape=(2, frames))
    except OSError as error:
        raise storage_problem(Path(tempfile.gettempdir()), error) from error


class _Report:
    """Calls `progress` only when the percentage grew."""

    def __init__(self, progress: Callable[[int], None] | None) -> None:
        self._progress = progress
        self._last = -1

    def __call__(self, percent: int) -> None:
        if self._progress is not None and percent > self._last:
            self._last = percent
            self._progress(percent)


def _check_score(score: Score) -> None:
    if not score.notes:
        raise RenderFailed("This piece has no notes: try another seed.")
    if len(score.notes) > MAX_NOTES:
        raise RenderFailed(
            "This piece has {n} notes: at most {most} can be played.", n=f"{len(score.notes):,}", most=f"{MAX_NOTES:,}"
        )
    if score.duration_s > DURATION_MAX_S:
        raise RenderFailed(
            "This piece would last {n} minutes: at most {most} can be played. Ask for fewer notes or a faster tempo.",
            n=f"{score.duration_s / 60:,.0f}",
            most=f"{DURATION_MAX_S / 60:.0f}",
        )
