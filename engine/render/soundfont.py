"""Finding a General MIDI soundfont, and knowing that it is whole before FluidSynth sees it.

FluidSynth 2.3 answers a missing, truncated or junk soundfont by playing another one, or silence, with exit status 0, so
the file is checked here: RIFF form `sfbk`, chunks that fill the declared size, and the declared size no larger than the
file (SoundFont 2.04 specification, section 4).
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from engine.errors import SetupProblem

ENVIRONMENT_VARIABLE = "MUSICLSTM_SOUNDFONT"  # a path here wins over the search

# In order of preference. FluidR3_GM (MIT) has stereo samples; FluidR3Mono (MIT) is the same set in a sixth of the size.
_NAMES = (
    "FluidR3_GM.sf2",
    "FluidR3Mono_GM.sf3",
    "FluidR3.sf3",
    "default-GM.sf2",
    "default-GM.sf3",
    "default.sf2",
    "MuseScore_General.sf3",
    "MuseScore_General.sf2",
    "GeneralUser-GS.sf2",
)
_OURS = Path(__file__).resolve().parents[2] / "var/soundfonts"  # any soundfont here goes before the system's
_FOLDERS = (
    "/usr/share/sounds/sf2",  # Debian, Ubuntu
    "/usr/share/sounds/sf3",
    "/usr/share/soundfonts",  # Fedora, Arch
    "/usr/share/fluidr3mono-gm-soundfont",
    "/usr/local/share/soundfonts",
    "/usr/local/share/sounds/sf2",
    "/usr/local/share/fluidsynth",
    "/opt/homebrew/share/soundfonts",  # Homebrew on Apple silicon
    "/opt/homebrew/share/fluid-synth/sf2",
    "/usr/local/share/fluid-synth/sf2",  # Homebrew on Intel
    "/opt/local/share/sounds/sf2",  # MacPorts
    "~/.local/share/soundfonts",
    "~/Library/Audio/Sounds/Banks",
    "~/.fluidsynth",
)


def how_to_install(part: str) -> str:
    """The end of a sentence: how FluidSynth (`part="fluidsynth"`) or a soundfont (`"soundfont"`) is installed here."""
    if sys.platform == "darwin":
        if part == "fluidsynth":
            return "install it with 'brew install fluid-synth'"
        return f"save FluidR3_GM.sf2 in ~/Library/Audio/Sounds/Banks, or name one in {ENVIRONMENT_VARIABLE}"
    package = "fluidsynth" if part == "fluidsynth" else "fluid-soundfont-gm"
    other = "fluidsynth" if part == "fluidsynth" else "fluid-soundfont-gm (Fedora) or soundfont-fluid (Arch)"
    return f"install it with 'apt-get install {package}', elsewhere the package {other}"


def find_soundfont() -> Path:
    """The soundfont to use: what MUSICLSTM_SOUNDFONT names, else what is in var/soundfonts, else the system's best.

    Raises:
        SetupProblem: there is none; the sentence names the package.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return Path(named).expanduser()
    if ours := sorted(_OURS.glob("*.sf[23]")):
        return ours[0]
    folders = [Path(folder).expanduser() for folder in _FOLDERS]
    for name in _NAMES:
        for folder in folders:
            if (path := folder / name).is_file():
                return path
    raise SetupProblem(f"No General MIDI soundfont was found: {how_to_install('soundfont')}.")


def check_soundfont(path: Path) -> None:
    """Refuse a file that is not a whole SoundFont 2 or 3; reads a few dozen bytes.

    Raises:
        SetupProblem: missing, unreadable, junk or truncated; the sentence says which and what to do.
    """
    again = f"{how_to_install('soundfont')}."
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(12)
            if len(head) < 12 or head[:4] != b"RIFF" or head[8:] != b"sfbk":
                raise SetupProblem(f"{path} is not a soundfont: {again}")
            riff_end = 8 + struct.unpack_from("<I", head, 4)[0]
            if riff_end > size:
                raise SetupProblem(f"The soundfont {path} is truncated ({size:,} of {riff_end:,} bytes): {again}")
            kinds: list[bytes] = []
            position = 12
            while position + 12 <= riff_end:
                file.seek(position)
                chunk, length, kind = struct.unpack("<4sI4s", file.read(12))
                if chunk != b"LIST" and kinds and position % 2:
                    # RIFF pads chunks to an even length, but FluidR3Mono_GM.sf3, as Debian has it, does not.
                    position += 1
                    continue
                if chunk != b"LIST" or position + 8 + length > riff_end:
                    raise SetupProblem(f"The soundfont {path} is damaged: {again}")
                kinds.append(kind)
                position += 8 + length
            if kinds != [b"INFO", b"sdta", b"pdta"]:
                raise SetupProblem(f"The soundfont {path} is damaged: {again}")
    except FileNotFoundError as error:
        raise SetupProblem(f"The soundfont {path} does not exist: {again}") from error
    except IsADirectoryError as error:
        raise SetupProblem(f"The soundfont {path} is a folder: {again}") from error
    except OSError as error:
        raise SetupProblem(f"The soundfont {path} cannot be read ({error.strerror}): check its permissions.") from error
