"""Writing a SoundFont 2.01 file (E-mu, "SoundFont Technical Specification" 2.04; section numbers refer to it)."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

_GUARD_FRAMES = 46  # zeros that must follow each sample (section 6.1)


class Generator(IntEnum):
    """The generators that are used here (section 8.1.2)."""

    VIBRATO_LFO_TO_PITCH = 6  # cents
    MODULATION_LFO_TO_VOLUME = 13  # centibels
    MODULATION_LFO_DELAY = 21  # timecents
    MODULATION_LFO_FREQUENCY = 22  # absolute cents
    VIBRATO_LFO_DELAY = 23
    VIBRATO_LFO_FREQUENCY = 24
    ATTACK = 34  # timecents, volume envelope
    RELEASE = 38
    INSTRUMENT = 41
    KEY_RANGE = 43
    SAMPLE = 53
    SAMPLE_MODES = 54  # 1: loop without end
    ROOT_KEY = 58


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One recording.

    Attributes:
        name: at most 19 ASCII characters.
        data: [n] float32 in [-1, 1].
        rate_hz: of the data.
        root_key: the MIDI note at which it plays as it is.
        loops: the whole of it repeats without a seam.
    """

    name: str
    data: npt.NDArray[np.float32]
    rate_hz: int
    root_key: int
    loops: bool


@dataclass(frozen=True, slots=True)
class Preset:
    """One General MIDI program.

    Attributes:
        name: at most 19 ASCII characters.
        program: 0-127, in bank 0.
        samples: ascending in root key; each plays the keys that lie nearest to it.
        generators: for all of them.
    """

    name: str
    program: int
    samples: Sequence[Sample]
    generators: Mapping[Generator, int] = field(default_factory=dict)


def timecents(seconds: float) -> int:
    """A duration as the specification wants it: 1,200 to each doubling of a second."""
    return round(1200 * math.log2(seconds))


def absolute_cents(frequency_hz: float) -> int:
    """A frequency as the specification wants it: 6,900 is 440 Hz."""
    return round(6900 + 1200 * math.log2(frequency_hz / 440))


def sf2_bytes(presets: Sequence[Preset], info: Mapping[str, str]) -> bytes:
    """The whole file.

    Args:
        presets: what it holds.
        info: entries of the INFO list by their four-letter names (section 5).
    """
    samples = [sample for preset in presets for sample in preset.samples]
    entries = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0")
    for name, text in info.items():
        entries += chunk(name.encode(), _even(text.encode() + b"\0"))
    pcm, headers, position = [], b"", 0
    for sample in samples:
        data = np.rint(np.clip(sample.data, -1, 1) * 32767).astype("<i2")
        # A loop needs eight valid points on both sides (section 7.10): its end is written once more behind it.
        start = position
        before, after = (data[-8:], data[:8]) if sample.loops else (data[:0], data[:0])
        loop_start = start + len(before)
        loop_end = loop_start + len(data)
        end = loop_end + len(after)
        pcm += [before.tobytes(), data.tobytes(), after.tobytes(), bytes(2 * _GUARD_FRAMES)]
        headers += struct.pack(
            "<20sIIIIIBbHH",
            _name(sample.name),
            *(start, end, loop_start, loop_end, sample.rate_hz, sample.root_key, 0, 0, 1),
        )
        position = end + _GUARD_FRAMES
    headers += struct.pack("<20sIIIIIBbHH", _name("EOS"), 0, 0, 0, 0, 0, 0, 0, 0, 0)
    return chunk(
        b"RIFF",
        b"sfbk"
        + chunk(b"LIST", b"INFO" + entries)
        + chunk(b"LIST", b"sdta" + chunk(b"smpl", b"".join(pcm)))
        + chunk(b"LIST", b"pdta" + _hydra(presets) + chunk(b"shdr", headers)),
    )


def _hydra(presets: Sequence[Preset]) -> bytes:
    """The eight lists that tie presets to instruments to samples (section 7)."""
    phdr = pbag = pgen = inst = ibag = igen = b""
    sample_index = pgens = ibags = igens = 0
    ordered = sorted(enumerate(presets), key=lambda pair: pair[1].program)  # section 7.2: ascending
    for row, (index, preset) in enumerate(ordered):
        phdr += struct.pack("<20sHHHIII", _name(preset.name), preset.program, 0, row, 0, 0, 0)
        pbag += struct.pack("<HH", pgens, 0)
        pgen += struct.pack("<HH", Generator.INSTRUMENT, index)
        pgens += 1
    for preset in presets:
        inst += struct.pack("<20sH", _name(preset.name), ibags)
        roots = [sample.root_key for sample in preset.samples]
        for number, sample in enumerate(preset.samples):
            low = 0 if number == 0 else (roots[number - 1] + roots[number]) // 2 + 1
            high = 127 if number == len(roots) - 1 else (roots[number] + roots[number + 1]) // 2
            ibag += struct.pack("<HH", igens, 0)
            zone = struct.pack("<HBB", Generator.KEY_RANGE, low, high)  # must come first (section 8.1.2)
            for generator, value in preset.generators.items():
                zone += struct.pack("<Hh", generator, value)
            zone += struct.pack("<Hh", Generator.SAMPLE_MODES, int(sample.loops))
            zone += struct.pack("<Hh", Generator.ROOT_KEY, sample.root_key)
            zone += struct.pack("<HH", Generator.SAMPLE, sample_index)  # must come last
            igen += zone
            igens += len(zone) // 4
            ibags += 1
            sample_index += 1
    phdr += struct.pack("<20sHHHIII", _name("EOP"), 0, 0, len(presets), 0, 0, 0)
    pbag += struct.pack("<HH", pgens, 0)
    inst += struct.pack("<20sH", _name("EOI"), ibags)
    ibag += struct.pack("<HH", igens, 0)
    end = bytes(4)
    lists = {"phdr": phdr, "pbag": pbag, "pmod": bytes(10), "pgen": pgen + end}
    lists |= {"inst": inst, "ibag": ibag, "imod": bytes(10), "igen": igen + end}
    return b"".join(chunk(name.encode(), body) for name, body in lists.items())


def _name(text: str) -> bytes:
    return text.encode("ascii")[:19]


def _even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def chunk(name: bytes, body: bytes) -> bytes:
    """A RIFF chunk, of even length."""
    return name + struct.pack("<I", len(body)) + _even(body)
