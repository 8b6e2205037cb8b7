"""An excerpt of a General MIDI soundfont: the few programs that the project's own bank leaves to it, unpacked.

FluidSynth reads the lists of a whole font each time it starts, and decodes each OGG sample that it needs of an SF3.
That took 0.2 CPU seconds a piece with FluidR3Mono, as much as the synthesis of forty seconds of music. So the programs
that are needed are copied once, with all their zones, into a small SoundFont 2 that sounds the same (E-mu, "SoundFont
Technical Specification" 2.04, section numbers refer to it; SF3 is MuseScore's form of it with OGG Vorbis samples).
"""

from __future__ import annotations

import functools
import hashlib
import io
import logging
import mmap
import struct
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

import soundfile

from engine.errors import SetupProblem, StorageProblem
from engine.render import sf2
from engine.render.audio_file import atomic, remove_stale
from engine.render.sf2 import Generator, chunk
from engine.render.soundfont import check_soundfont

_log = logging.getLogger(__name__)

_PRESET, _INSTRUMENT, _SAMPLE = "<20sHHHIII", "<20sH", "<20sIIIIIBbHH"  # sections 7.2, 7.6 and 7.10
_BAG, _GENERATOR, _MODULATOR_BYTES = "<HH", "<HH", 10  # sections 7.3, 7.5 and 7.4
_COMPRESSED = 0x10  # in a sample's type: OGG Vorbis; its loop then counts from the start of the sample
_GUARD = bytes(2 * 46)  # zeros that must follow each sample (section 6.1)


def ensure_excerpt(font: Path, programs: Collection[int], folder: Path) -> Path:
    """The excerpt's file, made when it is missing or damaged; that takes up to a second, once for each font.

    Args:
        font: whole, see `engine.render.soundfont.check_soundfont`.
        programs: General MIDI programs, 0-127.
        folder: the cache.

    Returns:
        the excerpt; or the font itself, which works more slowly, where it lacks a program, is built in a way that is
        not understood, or the folder cannot be written.
    """
    about = font.stat()
    key = f"{font.resolve()} {about.st_size} {about.st_mtime_ns} {sorted(programs)}"
    path = folder / f"general-{_version()}-{hashlib.sha256(key.encode()).hexdigest()[:12]}.sf2"
    try:
        check_soundfont(path)
    except SetupProblem:
        try:
            with font.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                made = excerpt_bytes(data, programs)
            with atomic(path) as out:
                out.write(made)
        except (OSError, ValueError, LookupError, struct.error, soundfile.SoundFileError, StorageProblem) as error:
            _log.warning("%s is used whole, which is slower: %s", font, error)
            return font
        remove_stale(set(folder.glob("general-*.sf2")) - set(folder.glob(f"general-{_version()}-*.sf2")))
    return path


@functools.cache
def _version() -> str:
    """A digest of the code that makes excerpts, so that one of another version is never used."""
    code = b"".join(Path(module).read_bytes() for module in (__file__, sf2.__file__))
    return hashlib.sha256(code).hexdigest()[:12]


@dataclass(slots=True)
class _Zones:
    """The zones of presets or of instruments: bags of generators and modulators (sections 7.3 to 7.9)."""

    bags: list[tuple[int, ...]] = field(default_factory=list)
    generators: list[tuple[int, ...]] = field(default_factory=list)
    modulators: list[bytes] = field(default_factory=list)

    @classmethod
    def read(cls, lists: dict[bytes, bytes], kind: bytes) -> _Zones:
        """Those of presets, kind `p`, or of instruments, kind `i`."""
        modulators = lists[kind + b"mod"]
        return cls(
            list(struct.iter_unpack(_BAG, lists[kind + b"bag"])),
            list(struct.iter_unpack(_GENERATOR, lists[kind + b"gen"])),
            [modulators[at : at + _MODULATOR_BYTES] for at in range(0, len(modulators), _MODULATOR_BYTES)],
        )

    def copy(self, source: _Zones, first: int, last: int, link: Generator, numbers: dict[int, int]) -> None:
        """Append the bags from `first` to before `last` of another list.

        Args:
            source: the other list.
            first: bag.
            last: the bag after the last one.
            link: the generator that names an instrument or a sample.
            numbers: what it names -> its new number; those not seen before are added.
        """
        for bag in range(first, last):
            (generator, modulator), (next_generator, next_modulator) = source.bags[bag], source.bags[bag + 1]
            self.bags.append((len(self.generators), len(self.modulators)))
            for operator, amount in source.generators[generator:next_generator]:
                new = numbers.setdefault(amount, len(numbers)) if operator == link else amount
                self.generators.append((operator, new))
            self.modulators += source.modulators[modulator:next_modulator]

    def chunks(self, kind: bytes) -> bytes:
        """The three lists, each with the record that ends it."""
        bags = [*self.bags, (len(self.generators), len(self.modulators))]
        return (
            chunk(kind + b"bag", b"".join(struct.pack(_BAG, *bag) for bag in bags))
            + chunk(kind + b"mod", b"".join(self.modulators) + bytes(_MODULATOR_BYTES))
            + chunk(kind + b"gen", b"".join(struct.pack(_GENERATOR, *pair) for pair in [*self.generators, (0, 0)]))
        )


def excerpt_bytes(font: bytes | mmap.mmap, programs: Collection[int]) -> bytes:
    """Some programs of bank 0 of a SoundFont 2 or 3, as a SoundFont 2 without compression.

    Raises:
        ValueError, LookupError, struct.error, soundfile.SoundFileError: the font lacks a program or is damaged.
    """
    places = _places(font)
    lists = _lists(font[slice(*places[b"pdta"])])
    presets = sorted(struct.iter_unpack(_PRESET, lists[b"phdr"][:-38]), key=lambda preset: preset[1])
    ends = sorted(preset[3] for preset in struct.iter_unpack(_PRESET, lists[b"phdr"]))
    chosen = [preset for preset in presets if preset[2] == 0 and preset[1] in programs]
    if [preset[1] for preset in chosen] != sorted(programs):
        raise ValueError(f"not every program of {sorted(programs)} is in it once")

    zones, instruments, phdr = _Zones(), dict[int, int](), b""
    for name, program, bank, bag, *rest in chosen:
        phdr += struct.pack(_PRESET, name, program, bank, len(zones.bags), *rest)
        last = next(end for end in ends if end > bag)
        zones.copy(_Zones.read(lists, b"p"), bag, last, Generator.INSTRUMENT, instruments)
    phdr += struct.pack(_PRESET, b"EOP", 0, 0, len(zones.bags), 0, 0, 0)

    heads, inner, inst = list(struct.iter_unpack(_INSTRUMENT, lists[b"inst"])), _Zones(), b""
    every, samples = _Zones.read(lists, b"i"), dict[int, int]()
    for number in instruments:
        name, bag = heads[number]
        inst += struct.pack(_INSTRUMENT, name, len(inner.bags))
        inner.copy(every, bag, heads[number + 1][1], Generator.SAMPLE, samples)
    inst += struct.pack(_INSTRUMENT, b"EOI", len(inner.bags))

    pcm, shdr = _samples(font, places[b"sdta"][0] + 8, lists[b"shdr"], samples)
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0") + chunk(b"INAM", b"Excerpt\0")
    preset_lists = chunk(b"phdr", phdr) + zones.chunks(b"p")
    instrument_lists = chunk(b"inst", inst) + inner.chunks(b"i")
    body = chunk(b"LIST", b"INFO" + info) + chunk(b"LIST", b"sdta" + chunk(b"smpl", pcm))
    return chunk(
        b"RIFF", b"sfbk" + body + chunk(b"LIST", b"pdta" + preset_lists + instrument_lists + chunk(b"shdr", shdr))
    )


def _samples(font: bytes | mmap.mmap, base: int, shdr: bytes, numbers: dict[int, int]) -> tuple[bytes, bytes]:
    """The recordings with these numbers, one behind the other, and the list that names them.

    Args:
        font: the whole of it.
        base: where its recordings begin.
        shdr: its list of samples.
        numbers: of the samples that are wanted -> their new numbers.
    """
    heads = list(struct.iter_unpack(_SAMPLE, shdr))[:-1]
    pcm, out, position = [], b"", 0
    for number in numbers:
        name, start, end, loop_start, loop_end, rate_hz, key, cents, link, kind = heads[number]
        if kind & _COMPRESSED:
            decoded, _ = soundfile.read(io.BytesIO(font[base + start : base + end]), dtype="int16")
            data = decoded.astype("<i2").tobytes()
        else:
            data = font[base + 2 * start : base + 2 * end]
            loop_start, loop_end = loop_start - start, loop_end - start
        frames = len(data) // 2
        if not 0 <= loop_start <= loop_end <= frames:
            raise ValueError(f"the loop of sample {number} lies outside of it")
        places = (position, position + frames, position + loop_start, position + loop_end)
        rest = (rate_hz, key, cents, numbers.get(link, 0), kind & ~_COMPRESSED)
        out += struct.pack(_SAMPLE, name, *places, *rest)
        pcm += [data, _GUARD]
        position += frames + len(_GUARD) // 2
    return b"".join(pcm), out + struct.pack(_SAMPLE, b"EOS", *(0,) * 9)


def _places(font: bytes | mmap.mmap) -> dict[bytes, tuple[int, int]]:
    """Where the bodies of the three lists of a whole font lie, by their kinds."""
    places: dict[bytes, tuple[int, int]] = {}
    position, end = 12, min(len(font), 8 + struct.unpack_from("<I", font, 4)[0])
    while position + 12 <= end:
        name, length, kind = struct.unpack_from("<4sI4s", font, position)
        if name != b"LIST":
            position += 1  # padded, see `check_soundfont`
            continue
        places[kind] = (position + 12, position + 8 + length)
        position += 8 + length
    return places


def _lists(body: bytes) -> dict[bytes, bytes]:
    """The chunks of a list by their names."""
    found: dict[bytes, bytes] = {}
    position = 0
    while position + 8 <= len(body):
        name, length = struct.unpack_from("<4sI", body, position)
        found[name] = body[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return found
