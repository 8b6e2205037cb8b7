"""The picture of two pieces of each mood."""

import numpy as np
from PIL import Image

from benchmarks.gallery import Pictured, contact_sheet, main
from data.moods import Mood
from data.score import Note, Part, Score
from engine.render.audio_file import WavWriter


def test_a_sheet_shows_each_piece_in_its_place(tmp_path):
    score = Score(tuple(Note(12 * step, Part.BELL, 60 + step, 12, 90) for step in range(8)), 60.0)
    wav = tmp_path / "noise.wav"
    with wav.open("wb") as file:
        writer = WavWriter(file, 44_100)
        writer.write(np.random.default_rng(1).normal(0, 0.1, (8 * 44_100, 2)).astype(np.float32))
        writer.finish()
    alone = contact_sheet([Pictured("one", Mood.EPIC, score, wav)])
    three = contact_sheet([Pictured(f"number {n}", Mood.EPIC, score, wav) for n in range(3)])
    assert three.width == alone.width
    assert three.height > 1.9 * alone.height
    pixels = np.asarray(three.convert("L"), np.float64)
    half = three.height // 2, three.width // 2
    assert pixels[half[0] :, : half[1]].std() > 30, "the third piece"
    assert np.ptp(pixels[half[0] + 20 :, half[1] + 20 :]) < 5, "nobody is fourth"


def test_sixteen_pieces_are_composed_and_pictured(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "music"), "--length", "16", "--seed", "5"]) == 0
    picture = tmp_path / "music" / "pieces.png"
    assert capsys.readouterr().out.strip() == str(picture)
    with Image.open(picture) as image:
        assert image.size == (2 * 558 + 8, 8 * 318 + 8)
    assert [path.name for path in picture.parent.iterdir()] == ["pieces.png"]
