"""Every file says how to make it again, and nothing that anybody sends breaks the reader."""

import io
import random

import pytest
import soundfile

from data.midi import write_midi
from engine.render import read_recipe
from engine.render.tags import LICENCE, read_tags

RECIPE = ("mood:dark length:13 temp:0.9 seed:7", "checkpoint:v1-00000000")


def test_each_file_of_a_piece_gives_its_recipe_back(rendered):
    for source in (rendered.midi, rendered.wav, rendered.wav.read_bytes(), rendered.ogg):
        assert read_recipe(source) == RECIPE
        tags = read_tags(source)
        assert tags is not None
        assert tags.title == "Void Harbour"


def test_the_licence_is_in_each_file(rendered):
    assert LICENCE.encode() in rendered.midi
    assert LICENCE.encode() in rendered.wav.read_bytes()[:1000]
    assert soundfile.SoundFile(io.BytesIO(rendered.ogg)).license == LICENCE


def test_files_of_others_have_no_recipe(score, tmp_path):
    assert read_recipe(write_midi(score, title="Theirs", texts=["seed:7"])) is None
    for suffix in ("wav", "flac", "ogg"):
        path = tmp_path / f"theirs.{suffix}"
        soundfile.write(path, [[0.1, 0.1]] * 5000, 44_100)
        assert read_recipe(path) is None
    assert read_recipe(tmp_path / "missing.wav") is None


@pytest.mark.parametrize("kind", ["midi", "wav", "ogg"])
def test_damaged_files_never_raise(rendered, kind):
    whole = {"midi": rendered.midi, "wav": rendered.wav.read_bytes()[:2000], "ogg": rendered.ogg[:6000]}[kind]
    generator = random.Random(kind)
    for _ in range(300):
        data = bytearray(whole[: generator.randrange(len(whole) + 1)])
        for _ in range(generator.randrange(8)):
            if data:
                data[generator.randrange(len(data))] = generator.randrange(256)
        recipe = read_recipe(bytes(data))
        assert recipe is None or isinstance(recipe, tuple)
