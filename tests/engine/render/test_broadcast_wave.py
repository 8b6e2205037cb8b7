"""The WAV is a Broadcast Wave too, and every reader still takes it."""

import io
import struct
import wave

import numpy as np
import pytest
import scipy.io.wavfile
import soundfile

from engine.render import read_recipe
from engine.render.formats import encode_wav
from engine.render.tags import Tags, read_tags
from tests.engine.render.conftest import RECIPE

SILENCE = np.zeros((100, 2), np.float32)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 12
    while position < len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        chunks.append((name, data[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    return chunks


def test_it_has_the_fields_of_ebu_tech_3285(rendered):
    data = rendered.wav.read_bytes()
    names = [name for name, _ in _chunks(data)]
    assert names == [b"fmt ", b"bext", b"LIST", b"data"]
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    bext = dict(_chunks(data))[b"bext"]
    assert bext[:256].rstrip(b"\0").decode() == "\n".join(("Void Harbour", *RECIPE))
    assert bext[256:288].rstrip(b"\0") == b"MusicLSTM"
    assert len(bext[288:320].rstrip(b"\0")) == 32, "the originator's reference"
    assert bext[320:338] == bytes(18), "neither date nor time, so that the same music has the same bytes"
    assert struct.unpack_from("<QH", bext, 338) == (0, 1), "time reference and version"
    assert bext[602:] == b"A=PCM,F=44100,W=16,M=stereo,T=MusicLSTM; CC0-1.0\r\n\0"


def test_every_reader_takes_it(rendered):
    with wave.open(str(rendered.wav)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (44_100, 2, 2)
        raw = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    with pytest.warns(scipy.io.wavfile.WavFileWarning, match="not understood"):  # as of every bext, and reads on
        rate_hz, scipys = scipy.io.wavfile.read(rendered.wav)
    assert rate_hz == 44_100
    soundfiles, _ = soundfile.read(rendered.wav, dtype="int16")
    assert np.array_equal(raw, scipys)
    assert np.array_equal(raw, soundfiles)


def test_the_recipe_survives_an_editor_that_drops_the_info_list(rendered):
    data = rendered.wav.read_bytes()
    listing = data.index(b"LIST")
    length = 8 + struct.unpack_from("<I", data, listing + 4)[0]
    stripped = data[:listing] + data[listing + length + length % 2 :]
    assert read_recipe(stripped) == RECIPE
    assert read_tags(stripped) == Tags("Void Harbour", RECIPE)


def test_a_recipe_that_was_cut_is_none_at_all():
    whole = encode_wav(SILENCE, 44_100, Tags("Ärger " * 30, ("opening:" + "x" * 300,)))
    assert soundfile.info(io.BytesIO(whole)).frames == 100
    assert read_recipe(whole) == ("opening:" + "x" * 300,)
    assert read_recipe(whole.replace(b"LIST", b"JUNK")) is None


def test_somebody_elses_broadcast_wave_has_no_recipe(rendered):
    data = bytearray(rendered.wav.read_bytes().replace(b"LIST", b"JUNK"))
    originator = data.index(b"bext") + 8 + 256
    data[originator : originator + 9] = b"SomeoneEl"
    assert read_recipe(bytes(data)) is None
