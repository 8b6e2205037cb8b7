"""Two pieces of each mood on one picture: piano-rolls, and below each the spectrum of its sound.

    python -m benchmarks.gallery [--checkpoint FOLDER] [--out docs/music] [--length 200] [--seed 1]

Composes with the engine as the bot does and writes `pieces.png`. `contact_sheet` makes such a picture of any pieces.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import soundfile
from PIL import Image

from benchmarks.command import told
from data.moods import Mood
from data.score import Score
from engine.local import open_engine
from engine.render.roll import HEIGHT_PX, WIDTH_PX, draw_roll
from engine.types import LENGTH_NOTES_DEFAULT, ComposeRequest

_COLUMNS = 2
_TILE_PX = (WIDTH_PX // 2, HEIGHT_PX // 2)  # as small as Discord shows them
_GAP_PX = 8
_COLOURS_KEPT = 256
_BACKGROUND = (240, 240, 244)


@dataclass(frozen=True, slots=True)
class Pictured:
    """One piece of the sheet.

    Attributes:
        title: one line.
        mood: gives the colour.
        score: its notes.
        wav: its sound.
    """

    title: str
    mood: Mood
    score: Score
    wav: Path


def contact_sheet(pieces: Sequence[Pictured]) -> Image.Image:
    """All pieces on one picture, row by row."""
    width, height = (size + _GAP_PX for size in _TILE_PX)
    rows = -(-len(pieces) // _COLUMNS)
    sheet = Image.new("RGB", (_COLUMNS * width + _GAP_PX, rows * height + _GAP_PX), _BACKGROUND)
    for index, piece in enumerate(pieces):
        samples, rate_hz = soundfile.read(piece.wav, dtype="float32", always_2d=True)
        png = draw_roll(piece.score, piece.title, piece.mood, samples.T.copy(), rate_hz)
        tile = Image.open(io.BytesIO(png)).convert("RGB").resize(_TILE_PX, Image.Resampling.LANCZOS)
        row, column = divmod(index, _COLUMNS)
        sheet.paste(tile, (_GAP_PX + column * width, _GAP_PX + row * height))
    # The colours of parts are rare, and must not be averaged away.
    return sheet.quantize(_COLOURS_KEPT, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


async def compose(checkpoint: Path | None, folder: Path, *, length_notes: int, seed: int) -> list[Pictured]:
    """Two pieces of each mood, with seeds that follow each other.

    Args:
        checkpoint: the model; None: the one that ships with the project.
        folder: for their WAV files.
        length_notes: of each.
        seed: of the first.
    """
    engine = open_engine(checkpoint=checkpoint, folder=folder)
    pieces = []
    try:
        for mood in Mood:
            for number in range(_COLUMNS):
                request = ComposeRequest(mood=mood, length_notes=length_notes, seed=seed + number)
                made = await engine.compose(request)
                title = f"{mood} {request.seed}: {made.title}"
                pieces.append(Pictured(title, mood, made.score, made.wav))
    finally:
        await engine.aclose()
    return pieces


def main(arguments: list[str] | None = None) -> int:
    """Compose the pieces and write the picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint folder (default: the one in the repository)")
    parser.add_argument("--out", type=Path, default=Path("docs/music"), help="where pieces.png goes (docs/music)")
    parser.add_argument("--length", type=int, default=LENGTH_NOTES_DEFAULT, help="notes of each piece (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the first piece of each mood (1)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="musiclstm-gallery-") as name:
        making = compose(options.checkpoint, Path(name), length_notes=options.length, seed=options.seed)
        sheet = contact_sheet(asyncio.run(making))
    options.out.mkdir(parents=True, exist_ok=True)
    sheet.save(options.out / "pieces.png", optimize=True)
    sys.stdout.write(f"{options.out / 'pieces.png'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(told(main))
