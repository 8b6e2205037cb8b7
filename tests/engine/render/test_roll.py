"""The picture of a piece."""

import io
import time

import numpy as np
import pytest
from PIL import Image

from data.composer.piece import compose_piece
from data.moods import Mood
from data.score import Note, Part, Score
from engine.render.roll import _SMALL_PX, HEIGHT_PX, PART_COLOURS, WIDTH_PX, draw_roll

RATE_HZ = 44_100
SPECTRUM = (80, 470, 1000, 560)  # left, top, right, bottom


def _spectrum(score, sound):
    image = Image.open(io.BytesIO(draw_roll(score, "Void Harbour", Mood.DARK, sound, RATE_HZ)))
    assert image.size == (WIDTH_PX, HEIGHT_PX)
    return np.asarray(image.convert("L").crop(SPECTRUM), np.float64)


def test_silence_is_dark(score):
    assert _spectrum(score, np.zeros((2, 5 * RATE_HZ), np.float32)).max() < 40


def test_a_tone_is_one_bright_line_and_a_soft_piece_is_seen_too(score):
    tone = np.sin(2 * np.pi * 1000 * np.arange(20 * RATE_HZ) / RATE_HZ).astype(np.float32)
    for level in (0.5, 0.02):
        rows = _spectrum(score, np.stack([tone, tone]) * np.float32(level)).mean(axis=1)
        assert rows.max() > 150
        assert np.median(rows) < 0.6 * rows.max()


def test_the_same_piece_gives_the_same_picture(score):
    sound = np.random.default_rng(1).normal(0, 0.1, (2, 12 * RATE_HZ)).astype(np.float32)
    assert draw_roll(score, "A", Mood.EPIC, sound) == draw_roll(score, "A", Mood.EPIC, sound)


def test_all_parts_have_their_names_below_in_type_that_a_telephone_shows():
    notes = [Note(6 * index, part, 40 + 4 * index, 12, 127) for index, part in enumerate(Part)]
    image = Image.open(io.BytesIO(draw_roll(Score(tuple(sorted(notes)), 60.0), "All", Mood.DARK)))
    legend = np.asarray(image.convert("RGB"), np.int64)[HEIGHT_PX - 24]
    for part in Part:  # colours are rounded when the picture gets its palette
        assert np.abs(legend - PART_COLOURS[part]).sum(axis=1).min() < 30, part
    assert _SMALL_PX * 400 / WIDTH_PX > 8.5


@pytest.mark.parametrize("seconds", [60, 240])
def test_it_takes_less_than_fifty_milliseconds(seconds):
    piece = compose_piece(3, Mood.EPIC).score
    sound = np.random.default_rng(1).normal(0, 0.1, (2, seconds * RATE_HZ)).astype(np.float32)
    spent_s = []
    for _ in range(7):
        started_s = time.thread_time()  # other work on the machine does not count
        draw_roll(piece, "A long title of a piece", Mood.EPIC, sound)
        spent_s.append(time.thread_time() - started_s)
    assert min(spent_s) < 0.05
