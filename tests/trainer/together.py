"""What two processes do in `test_distributed`: `torchrun --nproc-per-node 2 tests/trainer/together.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from safetensors.torch import save_file

from tests.trainer.test_distributed import EXACT
from tests.trainer.test_loop import SMALL_V2, TRAIN, VALID, Killed
from trainer import loop
from trainer.distributed import join, leave
from trainer.loop import Run


class KilledRun(Run):
    """Dies after its seventh save."""

    saves = 0

    def save(self) -> None:
        super().save()
        self.saves += 1
        if self.saves == 7:
            raise Killed


def main(folder: Path) -> None:
    group, device = join("cpu")
    reports: list[object] = []
    exact = Run(EXACT, folder / "exact", device, group=group).train(TRAIN, VALID, reports.append)
    whole = Run(SMALL_V2, folder / "whole", device, group=group).train(TRAIN, VALID, reports.append)
    loop.SAVE_EVERY_S = 0.0  # after each batch
    try:
        KilledRun(SMALL_V2, folder / "cut", device, group=group).train(TRAIN, VALID, reports.append)
    except Killed:
        resumed = Run(SMALL_V2, folder / "cut", device, group=group)
        resumed.resume()
        cut = resumed.train(TRAIN, VALID, reports.append)
    found = {"exact": exact, "whole": whole, "cut": cut}
    # Cloned, because tied weights are one tensor under two names.
    tensors = {f"{run}/{name}": t.clone() for run, it in found.items() for name, t in it.model.state_dict().items()}
    save_file(tensors, folder / f"process-{group.rank}.safetensors")
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
