"""An engine that is small but real: random walks as notes, MIDI by the project's writer, a sine as WAV, a PNG."""

import asyncio
import io
import random
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from data.keys import Key, transpose
from data.midi import write_midi
from data.score import Note, Part, Score
from data.tokens import decode
from engine.errors import EngineClosed
from engine.titles import title
from engine.types import ComposeRequest, Composition, Originality, Progress, ProgressCallback, Stage

_RATE_HZ = 44_100
ORIGINALITY = Originality(0.034, 9, "*Lament* (somebody)", 0.062)


class SmallEngine:
    """Pieces in milliseconds, the same for the same request.

    Attributes:
        checkpoint_id: another one writes other notes.
        gate: pieces stop half-way until it is open.
        errors: raised one after the other instead of finishing pieces.
        taken: ids in the order in which they came.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkpoint_id = "small-1"
        self.gate = asyncio.Event()
        self.gate.set()
        self.errors: list[Exception] = []
        self.taken: list[str] = []
        self.closed = False

    async def compose(self, request: ComposeRequest, progress: ProgressCallback | None = None) -> Composition:
        if self.closed:
            raise EngineClosed("The engine is shutting down.")
        self.taken.append(request.id)
        tell = progress or (lambda _: None)
        tell(Progress(Stage.SAMPLING, request.length_notes // 2, request.length_notes))
        await self.gate.wait()
        tell(Progress(Stage.SAMPLING, request.length_notes, request.length_notes))
        tell(Progress(Stage.RENDERING, 0, 100))
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        tell(Progress(Stage.RENDERING, 100, 100))
        return small_piece(request, self.checkpoint_id, self.folder)

    async def aclose(self) -> None:
        self.closed = True


def small_piece(request: ComposeRequest, checkpoint_id: str, folder: Path, seconds: float | None = None) -> Composition:
    """The same notes for the same request and checkpoint; a tone for so many seconds, or a hundredth for each note."""
    rng = random.Random(f"{checkpoint_id} {request.mood} {request.temperature} {request.seed}")
    key = request.key or Key(9, "minor")
    notes, pitch = given_notes(request, key), 57
    for _ in range(len(notes), request.length_notes):
        pitch = min(84, max(33, pitch + rng.choice((-5, -2, -1, 1, 2, 5))))
        notes.append(Note(notes[-1].start_step + 6 if notes else 0, Part.PAD, pitch, 6, 68))
    score = Score(tuple(notes), float(request.tempo_bpm or 60))
    folder.mkdir(parents=True, exist_ok=True)
    wav = folder / f"{request.mood}-{request.id}.wav"
    if seconds is None:
        _write_wav(wav, np.repeat([note.pitch for note in notes], _RATE_HZ // 100))
    else:
        _write_wav(wav, np.full(int(_RATE_HZ * seconds), notes[0].pitch))
    picture = io.BytesIO()
    Image.new("RGB", (32, 16), (notes[0].pitch, 40, 90)).save(picture, "PNG")
    return Composition(
        request=request,
        title=title(request),
        score=score,
        key=key,
        checkpoint_id=checkpoint_id,
        midi=write_midi(score, title=title(request)),
        wav=wav,
        roll_png=picture.getvalue(),
        duration_s=score.duration_s if seconds is None else seconds,
        sampling_s=0.01,
        rendering_s=0.02,
        originality=ORIGINALITY,
    )


def given_notes(request: ComposeRequest, key: Key) -> list[Note]:
    """The notes of the request's opening, as they are played in that key."""
    if request.opening is None:
        return []
    return list(transpose(decode(request.opening.tokens, 60), key.shift).notes)


def _write_wav(path: Path, pitches: npt.NDArray[np.int64]) -> None:
    """A sine at the pitch of each frame."""
    mono = 12_000 * np.sin(2 * np.pi * 440 * 2 ** ((pitches - 69) / 12) * np.arange(len(pitches)) / _RATE_HZ)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(_RATE_HZ)
        file.writeframes(np.repeat(mono.astype("<i2"), 2).tobytes())
