"""What a process does that renders and stays warm."""

import subprocess
import sys

import pytest

from data.spaces import SPACES
from engine.render.fluidsynth import SAMPLE_RATE_HZ
from engine.render.space import room
from engine.render.worker import prepare


def test_a_worker_that_is_prepared_has_made_the_rooms():
    room.cache_clear()
    prepare()
    assert all("wet" in vars(room(space, SAMPLE_RATE_HZ)) for space in SPACES)


def test_a_worker_starts_without_scipy():
    """Whose import takes a tenth of a second, as long as a minute of music takes to master."""
    code = "import sys, engine.render.worker; sys.exit(any(name.startswith('scipy') for name in sys.modules))"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told")
def test_a_worker_does_not_ask_for_the_same_memory_again_and_again():
    code = """if True:
        import resource
        import numpy as np
        from engine.render.loudness import hop_energies
        from engine.render.worker import keep_memory
        keep_memory()
        sound = np.ones((2, 22_050 * 60), np.float32)
        for _ in range(2):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            for hop in range(0, 600, 16):
                hop_energies(sound, 22_050, hop, hop + 16)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    """
    faults = int(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)
    assert faults < 1000  # without it ten thousand
