"""Compile `step.c` with the system's C compiler, once for each source, compiler and processor.

The result is kept under `var/native/`. It is compiled into a temporary file that then takes its name in one step, so
that processes that start together at worst do the same work twice, and none loads half a file.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

log = logging.getLogger(__name__)

SOURCE = Path(__file__).with_name("step.c")
CACHE = Path(__file__).resolve().parents[2] / "var" / "native"

# -ffp-contract=off and no -ffast-math: the same operations in the same order in every instance of a template.
_FLAGS = ("-O3", "-std=gnu11", "-ffp-contract=off", "-fno-math-errno", "-shared", "-fPIC", "-pthread")
_TIMEOUT_S = 120  # a compile takes 1.5 s here; a small board is some times slower


class NoCompiler(Exception):
    """There is no working C compiler, or nowhere to keep what it makes; the message is for the log."""


def library(*, int8: bool, cache: Path = CACHE, target: str | None = None) -> ctypes.CDLL:
    """The compiled step, compiled now if need be. Calls into it release the GIL.

    Args:
        int8: 8-bit integer weights and hidden states, or float32.
        cache: the folder for compiled files; a temporary one is used where it cannot be written.
        target: the compiler's option for another processor than this one, such as "-march=haswell".

    Raises:
        NoCompiler: see there.
    """
    compiler, *options = _compiler()
    key = hashlib.sha256()
    # Compilers for Arm took up -march=native late; -mcpu=native is the older name.
    native = "-mcpu=native" if platform.machine() in {"aarch64", "arm64"} else "-march=native"
    flags = (*options, target or native, *_FLAGS)
    for part in (SOURCE.read_bytes(), " ".join(flags).encode(), _version(compiler, *options), _processor()):
        key.update(hashlib.sha256(part).digest())
    name = f"step-{'int8' if int8 else 'float32'}-{key.hexdigest()[:16]}.so"
    for folder in (cache, Path(tempfile.gettempdir()) / f"musiclstm-native-{os.getuid()}"):
        path = folder / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_uid not in {0, os.getuid()}:
                continue  # somebody else's folder: what lies there would run as us
            if not path.exists():
                _compile(compiler, flags, path, int8=int8)
            return ctypes.CDLL(str(path))
        except OSError as error:
            log.info("%s cannot hold the compiled note step: %s", folder, error)
    raise NoCompiler(f"neither {cache} nor the folder for temporary files can hold the compiled note step")


def _compiler() -> list[str]:
    """The compiler and its first options: what CC names, such as "ccache gcc", else what is on the PATH."""
    try:
        named = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise NoCompiler(f"CC is {os.environ['CC']}, which cannot be read: {error}") from error
    found = named or [path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))][:1]
    if not found:
        raise NoCompiler("there is no C compiler (cc, gcc, clang) on the PATH")
    return found


def _compile(compiler: str, flags: Sequence[str], path: Path, *, int8: bool) -> None:
    handle, temporary = tempfile.mkstemp(suffix=".so", prefix=f".{path.stem}.", dir=path.parent)
    os.close(handle)
    command = [compiler, *flags, f"-DINT8={int(int8)}", str(SOURCE), "-o", temporary, "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise NoCompiler(f"{compiler} failed: {done.stderr.strip()[-1000:]}")
        Path(temporary).chmod(0o700)
        Path(temporary).replace(path)
    except subprocess.TimeoutExpired as error:
        raise NoCompiler(f"{compiler} took more than {_TIMEOUT_S} s") from error
    except OSError as error:
        if error.filename == compiler:
            raise NoCompiler(f"{compiler} cannot be started: {error.strerror}") from error
        raise
    finally:
        Path(temporary).unlink(missing_ok=True)


def _version(*words: str) -> bytes:
    """Which compiler it is, at the price of a stat: its file, or that of one it starts, may change under its name."""
    files = [Path(found).resolve() for word in words if (found := shutil.which(word))]
    return " ".join(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in files).encode()


def _processor() -> bytes:
    """What -march=native depends on: the cache may lie on a disk that moves between machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU implementer", "CPU part")
        facts = {line for line in lines if line.startswith(wanted)}
    except OSError:
        facts = {platform.processor()}
    return "\n".join([platform.system(), platform.machine(), *sorted(facts)]).encode()
