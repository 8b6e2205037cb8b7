"""The tables of docs/bench are what the benchmarks gave, and the rows for a GPU can be made."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from benchmarks import compose, engine, limits, train
from tests.engine.batching.making import odd_checkpoint

BENCH = Path(__file__).resolve().parents[2] / "docs" / "bench"


@pytest.mark.parametrize(
    ("name", "module", "options", "page"),
    [
        ("engine", engine, [], "bench/README.md"),
        ("gpu", engine, ["--gpu"], "bench/README.md"),
        ("compose", compose, [], "bench/README.md"),
        ("train", train, [], "training.md"),
    ],
)
def test_the_tables_are_made_from_the_json(
    name: str, module: ModuleType, options: list[str], page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert module.main(["--table", str(BENCH / f"{name}.json"), *options]) == 0
    table = capsys.readouterr().out
    text = (BENCH.parent / page).read_text(encoding="utf-8")
    between = text.split(f"<!-- {name}: a test compares this table with {name}.json -->\n")[1]
    assert between.split(f"<!-- /{name} -->")[0] == table
    assert table.count("\n") >= 2 + 2


@pytest.mark.parametrize(("name", "module"), [("engine", engine), ("compose", compose)])
def test_the_charts_are_drawn_from_the_json(name: str, module: ModuleType, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.svg"
    assert module.main(["--table", str(BENCH / f"{name}.json"), "--plot", str(drawn)]) == 0
    assert drawn.read_text(encoding="utf-8") == (BENCH / f"{name}.svg").read_text(encoding="utf-8")


def test_what_is_measured_has_what_the_table_needs() -> None:
    rows = json.loads((BENCH / "engine.json").read_text(encoding="utf-8"))["rows"]
    measured = {(row["variant"], row["batch"]) for row in rows}
    assert measured >= {(variant, batch) for variant in ("usual", "default") for batch in engine.BATCHES}


def test_the_rows_for_a_gpu_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_SIZES", {"cpu": (64,)})  # a CPU takes a minute for larger products of 16 bits
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    before = [engine.Row("usual", 64, 100.0, 1.0)]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = engine.on_device(odd_checkpoint(), before, 1, device, (1,), 16, block=16, graph_steps=2)
    torch.set_num_threads(threads)
    assert [(row.variant, row.batch) for row in rows] == [(f"{device}, {dtype}", 1) for dtype in ("float32", "float16")]
    assert all(row.notes_per_s > 0 and row.ratio == pytest.approx(row.notes_per_s / 100, abs=0.01) for row in rows)
    for share in (share for row in rows for share in (row.share_of_memory, row.share_of_arithmetic)):
        assert share is not None
        assert 0 <= share < 1
