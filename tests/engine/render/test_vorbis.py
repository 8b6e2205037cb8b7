"""Two encoders, one stream: nobody can tell where they meet."""

import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile

from engine.render import vorbis
from engine.render.tags import Tags, read_tags
from engine.render.vorbis import VorbisWriter, encode_vorbis

RATE_HZ = 44_100
TAGS = Tags("Void Harbour", ("seed:7", "checkpoint:v1-00000000"))


@pytest.fixture(scope="module")
def sound():
    """Thirty calm seconds: three slowly swelling tones and a little noise, not one onset."""
    t = np.arange(30 * RATE_HZ + 123) / RATE_HZ
    swell = 0.5 + 0.4 * np.sin(2 * np.pi * t / 7)
    left = swell * (0.2 * np.sin(2 * np.pi * 110 * t) + 0.1 * np.sin(2 * np.pi * 331 * t))
    right = swell * (0.2 * np.sin(2 * np.pi * 110.3 * t) + 0.1 * np.sin(2 * np.pi * 523 * t))
    noise = np.random.default_rng(3).normal(0, 0.003, (2, len(t)))
    return (np.stack([left, right]) + noise).T.astype(np.float32)


def _encode(sound) -> bytes:
    with ThreadPoolExecutor(2) as pool:
        return encode_vorbis(lambda a, b: sound[a:b].copy(), len(sound), RATE_HZ, TAGS, 0.5, pool)


@pytest.fixture(scope="module")
def joined(sound):
    return _encode(sound)


def test_the_join_is_as_good_as_one_encoder(sound, joined):
    writer = VorbisWriter(RATE_HZ, TAGS, 0.5)
    writer.write(sound)
    writer.finish()
    alone, _ = soundfile.read(io.BytesIO(writer._buffer.getvalue()), dtype="float32")
    decoded, _ = soundfile.read(io.BytesIO(joined), dtype="float32")
    assert decoded.shape == sound.shape

    def worst(found):
        error = (found - sound)[: len(sound) // 1024 * 1024].reshape(-1, 1024 * 2)
        return np.sqrt((error.astype(np.float64) ** 2).mean(axis=1)).max()

    assert worst(decoded) < 1.2 * worst(alone)


def test_the_halves_do_meet(sound, monkeypatch):
    met = []
    meeting = vorbis._meeting

    def spy(*arguments):
        met.append(meeting(*arguments))
        return met[-1]

    monkeypatch.setattr(vorbis, "_meeting", spy)
    _encode(sound)
    assert met[0] is not None


def test_without_a_meeting_the_first_encoder_goes_on(sound, monkeypatch):
    monkeypatch.setattr(vorbis, "_meeting", lambda *_: None)
    decoded, _ = soundfile.read(io.BytesIO(_encode(sound)), dtype="float32")
    assert decoded.shape == sound.shape
    assert np.abs(decoded - sound).max() < 0.05


def test_same_sound_gives_same_bytes(sound, joined):
    assert _encode(sound) == joined


def test_tags_survive(joined):
    assert read_tags(joined) == TAGS


def test_short_sound_needs_no_join(sound):
    short = sound[: 3 * RATE_HZ]
    decoded, _ = soundfile.read(io.BytesIO(_encode(short)), dtype="float32")
    assert decoded.shape == short.shape


def test_checksum_is_oggs(joined):
    """Compared with the definition, bit by bit, on the first page."""
    page = bytearray(joined[: 27 + joined[26] + sum(joined[27 : 27 + joined[26]])])
    stored = int.from_bytes(page[22:26], "little")
    page[22:26] = bytes(4)
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1) ^ (0x04C11DB7 if register & 0x80000000 else 0)
            register &= 0xFFFFFFFF
    assert register == stored
