"""The benchmarks measure what they say; how fast it is, only a benchmark can tell."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch

from benchmarks import __main__ as dispatcher
from benchmarks import engine, plot, precision, takes, usual
from data.composer.piece import compose_piece
from data.keys import Key
from data.listener import Listener
from data.moods import MOODS
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.plan import Plan, plan
from engine.sampler import Sampler
from engine.takes import Judge
from engine.types import ComposeRequest
from trainer.evaluation.moods import histograms


def test_every_variant_writes_notes() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.inference_mode():
        for stepper in engine.variants(checkpoint, 2).values():
            stepper(2)
    torch.set_num_threads(threads)
    assert {"usual", "default"} <= set(engine.variants(checkpoint, 1))


def test_the_usual_way_draws_from_the_nucleus() -> None:
    torch.manual_seed(1)
    logits = torch.log(torch.tensor([0.6, 0.3, 0.06, 0.04])).expand(400, 4) * 0.9  # at temperature 0.9: as they are
    drawn = torch.bincount(usual.sort_and_draw(logits), minlength=4) / 400
    assert drawn[3] == 0
    torch.testing.assert_close(drawn[:3], torch.tensor([0.6, 0.3, 0.06]) / 0.96, atol=0.08, rtol=0)


def test_eight_bits_are_compared_with_the_model_over_the_same_notes() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    request = ComposeRequest(length_notes=64, seed=2)
    tokens = Sampler(checkpoint, device="cpu").sample(request, plan(request))
    by_torch, float32, int8 = precision.compare(
        checkpoint, [precision.HeldOut(tokens, request, Plan(90, Key(0, "minor")))]
    )
    assert abs(float32.change_percent) < 0.001
    assert abs(int8.change_percent) < 0.5
    assert sum(by_torch.by_attribute.values()) == pytest.approx(by_torch.nats_per_note, abs=1e-3)


def test_the_best_of_more_takes_ends_at_least_as_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takes, "COUNTS", (1, 3))
    own = [compose_piece(1, mood) for mood in MOODS]
    listener = Listener.fit(np.array([histograms(piece.score) for piece in own]), list(MOODS))
    one, three = takes.measure(load_checkpoint(DEFAULT), Judge({"distinct-4": (0.0, 1.0)}, None), listener, 16)
    assert (one.takes, three.takes) == (1, 3)
    assert three.ends >= one.ends
    assert one.in_band == {"distinct-4": 1.0}
    assert one.copied_share_p95 is None
    assert 0 < one.milliseconds < three.milliseconds


def test_the_transformer_writes_as_many_tokens_as_the_measured_notes_take(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    draw = usual.sort_and_draw

    def counted(logits: torch.Tensor) -> torch.Tensor:
        drawn.append(len(logits))
        return draw(logits)

    monkeypatch.setattr(usual, "sort_and_draw", counted)
    monkeypatch.setattr(engine, "_AT_LEAST_S", 0.0)
    monkeypatch.setattr(engine, "BATCHES", (1,))
    monkeypatch.setattr(engine, "variants", lambda *_: {"usual": lambda _: None, "transformer": timed})
    stepper = usual.transformer(1)
    tokens_a_note = []

    def timed(steps: int) -> None:
        before = len(drawn)
        stepper(steps)
        tokens_a_note.append((len(drawn) - before) / steps)

    with torch.inference_mode():
        engine.measure(load_checkpoint(DEFAULT), 3)
    assert tokens_a_note == [usual.TOKENS_PER_NOTE] * 4


def test_charts_are_well_formed() -> None:
    page = plot.bars("Notes & more", ["a", "b"], {"x < y": [10.0, None], "z": [1.0, 1e5]})
    assert len([node for node in ET.fromstring(page) if node.tag.endswith("rect")]) == 1 + 2 + 3  # noqa: S314 - ours
    curve = plot.lines("t", "n", [1, 4, 16], {"p50": [1.0, 2.0, 3.0], "p95": [2.0, 3.0, 4.0]}, "s")
    nodes = list(ET.fromstring(curve).iter())  # noqa: S314 - ours
    explained = [node.get("fill") for node in nodes if node.tag.endswith("rect")][1:]  # after the paper
    assert [node.get("stroke") for node in nodes if node.tag.endswith("polyline")] == explained


def test_an_unknown_measurement_is_answered_with_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert dispatcher.main(["nothing"]) == 64
    told = capsys.readouterr().err
    assert all(name in told for name in dispatcher.NAMES)
    assert dispatcher.main(["--help"]) == 0


def test_json_has_a_row_for_every_variant_and_batch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "_AT_LEAST_S", 0.0)
    monkeypatch.setattr(engine, "BATCHES", (1, 2))
    rounds, continuous = [], engine.continuous

    def noted(checkpoint: Checkpoint, rows: list[engine.Row], count: int) -> list[engine.Row]:
        rounds.append(count)
        return continuous(checkpoint, rows, count)

    monkeypatch.setattr(engine, "continuous", noted)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert engine.main(["--json", "--rounds", "1"]) == 0
    assert rounds == [1]
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {("usual", 1), ("usual", 2), ("default", 1), ("default", 2), ("static, 200 notes", 2)} <= {
        (row["variant"], row["batch"]) for row in rows
    }
    assert all(row["notes_per_s"] > 0 for row in rows)
