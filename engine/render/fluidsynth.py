"""midi2audio's FluidSynth, hardened: bounded, checked, cancellable, and heard through a pipe instead of a file.

midi2audio 0.1.1 starts `fluidsynth -ni FONT MIDI -F FILE -r RATE` and looks at nothing that happens then. Measured with
FluidSynth 2.3.1: a missing or damaged soundfont gives another font or silence with exit status 0; a damaged MIDI file
gives an empty WAV with exit status 0; a piece of 10^8 seconds writes until the disk is full; a name that begins with
`-` is read as an option; the user's own `~/.fluidsynth` changes the sound.

Here FluidSynth writes 32-bit float samples to its standard output (`-F - -T raw -O float`). So nothing of it can fill
the disk, a death of this process ends it at its next write, the samples are neither clipped nor dithered, and it works
at the same time as whoever consumes them. Several stems are several processes: with `synth.cpu-cores=2` instead,
voices land on threads by chance, the sums are rounded differently, and two renders differ in their last bits.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import midi2audio
import numpy as np
import numpy.typing as npt

from engine.errors import Cancelled, RenderFailed, SetupProblem, StorageProblem, SynthesiserEnded
from engine.render.soundfont import check_soundfont, how_to_install
from engine.types import DURATION_MAX_S

_log = logging.getLogger(__name__)

SAMPLE_RATE_HZ = 44_100
_CHANNELS = 2
_FRAME_BYTES = 4 * _CHANNELS  # 32-bit float, stereo, interleaved
_POLL_S = 0.05  # how long a cancellation may go unnoticed
_PIPE_BYTES = 1 << 20  # the largest that Linux gives to everybody: three seconds of sound for FluidSynth to run ahead
_MEMORY_BYTES = 1 << 30  # address space of one process; FluidR3_GM loaded whole takes 0.3 GiB
_STARTUP_S = 60.0  # loading a font from a cold disk, on a machine that is busy with much else
_NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM}  # for another process: FluidSynth is well
_SLOWEST_REALTIME_FACTOR = 1.0  # measured: 100 to 200 times faster than the music lasts

Block = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Stem:
    """What one process plays.

    Attributes:
        midi: a MIDI file, whole.
        divider: of the sample rate: 2 is half the rate and half the work, for sounds without treble.
        general: whether it needs the General MIDI font, whose opening takes time even where it is an excerpt.
    """

    midi: bytes
    divider: int = 1
    general: bool = True


class FluidSynth(midi2audio.FluidSynth):  # type: ignore[misc]  # midi2audio has no type information
    """One way to play MIDI.

    Args:
        sound_fonts: the first is the General MIDI font; a program that a later font has too comes from the later one.
    """

    def __init__(self, sound_fonts: Sequence[Path]) -> None:
        super().__init__(str(sound_fonts[0]), SAMPLE_RATE_HZ)
        self.sound_fonts = [Path(font).expanduser().resolve() for font in sound_fonts]

    def check(self) -> None:
        """Find out whether this can work at all; takes under a millisecond.

        Raises:
            SetupProblem: FluidSynth is not installed, or a font is missing or damaged.
        """
        if shutil.which("fluidsynth") is None:
            raise SetupProblem(f"FluidSynth is not installed: {how_to_install('fluidsynth')}.")
        for font in self.sound_fonts:
            check_soundfont(font)

    def command(self, midi_file: Path, stem: Stem) -> list[str]:
        """The command line. Every path in it is absolute, so that none can be taken for an option."""
        return [
            "fluidsynth",
            *("-q", "-n", "-i"),  # no banner, no MIDI input, no shell
            *("-f", os.devnull),  # not the user's own configuration: it would change the sound
            *("-T", "raw", "-O", "float", "-E", "cpu", "-F", "-"),
            *("-r", str(self.sample_rate // stem.divider)),
            *("-z", "1024"),  # frames at a time: 64 costs a fifth more
            *("-g", "0.5", "-R", "0", "-C", "0"),  # space is added by the mastering
            *("-o", "synth.cpu-cores=1"),  # more than one is not deterministic, see above
            *("-o", "synth.dynamic-sample-loading=1"),  # only the samples that are played: 0.1 s instead of 0.7 s
            *("-o", "synth.polyphony=512"),  # the default 256 steals voices under many long notes
            *map(str, self.sound_fonts if stem.general else self.sound_fonts[1:]),
            str(midi_file.absolute()),
        ]

    def blocks(
        self,
        stems: Sequence[Stem],
        frames: int,
        *,
        block_frames: int = 1 << 16,
        cancelled: Callable[[], bool] | None = None,
        received: Callable[[int], None] | None = None,
    ) -> Generator[list[Block], None, None]:
        """Play several MIDI files at once, one process each.

        Args:
            stems: what to play.
            frames: how many frames of each are wanted, at the full rate; what comes after is not synthesised, what is
                missing is silence.
            block_frames: frames in each block but the last, at the full rate; all dividers divide it.
            cancelled: polled at least every 50 ms.
            received: called with the number of frames that have come of the slowest stem.

        Yields:
            for each stem [n, 2] float32, n <= block_frames / divider; the arrays are used again for the next block.

        Raises:
            SetupProblem: FluidSynth is missing, or cannot use a font.
            StorageProblem: the temporary folder cannot be written.
            RenderFailed: FluidSynth failed, or took longer than any piece of this duration may.
            Cancelled: `cancelled()` was true. No process is left when this or any other error arrives.
        """
        deadline_s = time.monotonic() + _STARTUP_S + frames / self.sample_rate / _SLOWEST_REALTIME_FACTOR
        with contextlib.ExitStack() as stack:
            try:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="musiclstm-")))
                paths = [folder / f"{index}.mid" for index in range(len(stems))]
                for path, stem in zip(paths, stems, strict=True):
                    path.write_bytes(stem.midi)
                logs = [stack.enter_context(path.with_suffix(".log").open("w+b")) for path in paths]
            except OSError as error:
                raise StorageProblem(f"The temporary folder cannot be written ({error.strerror}).") from error
            voices = [
                stack.enter_context(_Process(self.command(path, stem), log, stem.divider))
                for path, stem, log in zip(paths, stems, logs, strict=True)
            ]
            buffers = [np.empty((block_frames // stem.divider, _CHANNELS), np.float32) for stem in stems]
            for start in range(0, frames, block_frames):
                wanted = min(block_frames, frames - start)
                blocks = [buffer[: -(-wanted // stem.divider)] for buffer, stem in zip(buffers, stems, strict=True)]
                _fill(voices, blocks, deadline_s, cancelled, received)
                yield blocks
            for voice in voices:
                voice.check(frames)

    def midi_to_audio(self, midi_file: str | Path, audio_file: str | Path) -> None:
        """midi2audio's own method with its promises kept: either a whole, audible file appears, or an error is raised.

        Args:
            midi_file: any Standard MIDI File that `data.midi.read_midi` accepts.
            audio_file: where the sound goes; the suffix says the format, as in midi2audio.

        Raises:
            InvalidMidi: the file is not usable MIDI.
            RenderFailed, SetupProblem, StorageProblem: see `blocks`.
        """
        from data.midi import read_midi  # noqa: PLC0415 -- only this door takes MIDI from outside
        from engine.render.audio_file import write_audio  # noqa: PLC0415

        midi = Path(midi_file).read_bytes()
        duration_s = read_midi(midi).score.duration_s + 1.0
        if duration_s > DURATION_MAX_S:
            raise RenderFailed(
                "This piece would last {n} minutes: at most {most} can be played.",
                n=f"{duration_s / 60:,.0f}",
                most=f"{DURATION_MAX_S / 60:.0f}",
            )
        self.check()
        frames = round(duration_s * self.sample_rate)
        write_audio(Path(audio_file), (block[0] for block in self.blocks([Stem(midi)], frames)), self.sample_rate)


class _Process:
    """One running FluidSynth; a context manager that never leaves it behind."""

    def __init__(self, command: list[str], log: IO[bytes], divider: int) -> None:
        self._log_file = log
        self._divider = divider
        # SDL, which Debian's FluidSynth links for sound cards, would look for them all the time: 0.03 s.
        environment = {**os.environ, "SDL_AUDIODRIVER": "dummy"}
        try:
            self._popen = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                # Ctrl-C is for this process. A worker leads a session, which no terminal interrupts, and ends with it.
                process_group=None if os.getsid(0) == os.getpid() else 0,
            )
        except FileNotFoundError as error:
            raise SetupProblem(f"FluidSynth is not installed: {how_to_install('fluidsynth')}.") from error
        except OSError as error:
            remedy = "raise the limit or end something else" if error.errno in _NO_ROOM else "reinstall it"
            raise SetupProblem(f"FluidSynth cannot be started ({error.strerror}): {remedy}.") from error
        assert self._popen.stdout is not None  # noqa: S101 -- PIPE was asked for
        self.fd = self._popen.stdout.fileno()
        self._received_bytes = 0
        self.ended = False
        os.set_blocking(self.fd, False)
        with contextlib.suppress(OSError, AttributeError):  # Linux only; smaller pipes work too, more slowly
            fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        _limit_memory(self._popen.pid)

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self._popen.stdout is not None:
            self._popen.stdout.close()
        self._popen.kill()
        self._popen.wait()

    def read(self, target: memoryview) -> int:
        """Take what is there, at most as much as fits; the number of bytes, 0 when the process has ended."""
        count = os.readv(self.fd, [target])
        self._received_bytes += count
        return count

    @property
    def received_frames(self) -> int:
        """Frames that have come, at the full rate."""
        return self._received_bytes // _FRAME_BYTES * self._divider

    def check(self, frames: int) -> None:
        """Raise what went wrong, if something did. Call it after the last block.

        FluidSynth may still be running: it is not waited for once it has given all the frames that were asked.
        """
        complaints = self._complaints()
        if any("soundfont" in line.lower() for line in complaints):
            raise SetupProblem(f"FluidSynth cannot use the soundfont: {how_to_install('soundfont')}.")
        if not self.ended:
            return
        status = self._popen.wait(timeout=_STARTUP_S)
        received = self.received_frames
        if complaints or (status != 0 and received < frames):
            _log.warning("fluidsynth: status %s after %s of %s frames: %s", status, received, frames, complaints)
            if status in {-signal.SIGKILL, -signal.SIGTERM}:
                raise SynthesiserEnded("The synthesiser was ended from outside, perhaps for want of memory: try again.")
            if status < 0 and status != -signal.SIGPIPE:
                raise RenderFailed("The synthesiser crashed on this piece: try another seed.")
            raise RenderFailed("The synthesiser failed on this piece: try another seed.")
        if received == 0:
            raise RenderFailed("The synthesiser gave no sound for this piece: try another seed.")

    def _complaints(self) -> list[str]:
        self._log_file.seek(0)
        text = self._log_file.read(1 << 16).decode("utf-8", "replace")
        return [line for line in text.splitlines() if "error" in line.lower() or "failed to load" in line.lower()]


def _fill(
    voices: list[_Process],
    blocks: list[Block],
    deadline_s: float,
    cancelled: Callable[[], bool] | None,
    received: Callable[[int], None] | None,
) -> None:
    """Fill blocks[i] from voices[i]; silence where a voice has ended."""
    targets = [block.data.cast("B") for block in blocks]
    filled = [0] * len(voices)
    with selectors.DefaultSelector() as selector:
        for index, voice in enumerate(voices):
            if voice.ended:
                targets[index][:] = bytes(len(targets[index]))
            else:
                selector.register(voice.fd, selectors.EVENT_READ, index)
        while selector.get_map():
            if cancelled is not None and cancelled():
                raise Cancelled
            if time.monotonic() > deadline_s:
                raise RenderFailed("The synthesiser took too long: the machine is overloaded, try again later.")
            if received is not None:
                received(min(voice.received_frames for voice in voices))
            for key, _ in selector.select(_POLL_S):
                index = key.data
                voice, target = voices[index], targets[index]
                count = voice.read(target[filled[index] :])
                filled[index] += count
                if count == 0:
                    voice.ended = True
                    target[filled[index] :] = bytes(len(target) - filled[index])
                if voice.ended or filled[index] == len(target):
                    selector.unregister(voice.fd)


def _limit_memory(pid: int) -> None:
    """Bound the address space of a process, where the system can do that to another one (Linux)."""
    with contextlib.suppress(ImportError, AttributeError, OSError, ValueError):
        import resource  # noqa: PLC0415 -- not on every platform

        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
