"""Model cards say what the sidecars say."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.checkpoint import BUILT_IN, Checkpoint, load_checkpoint
from engine.errors import CheckpointProblem
from engine.originality import Index
from trainer.card import CARD, card, main, metadata, write_card
from trainer.card import yaml as written

SHIPPED = sorted(folder for folder in BUILT_IN.iterdir())
CREDIT = "Music by Tanner Helland (https://www.tannerhelland.com), CC BY 4.0; learnt from in a changed form"


@pytest.fixture(scope="module")
def v1() -> Checkpoint:
    return load_checkpoint(BUILT_IN / "v1")


def learnt(checkpoint: Checkpoint, *licences: str, **changes: Any) -> dict[str, Any]:
    """The metadata of a checkpoint that has learnt music under these licences."""
    sidecar = copy.deepcopy(checkpoint.sidecar)
    sidecar["corpus"]["sources"] = [
        {"source": f"source {i}", "licence": licence, "pieces": 1, "credits": ["thanks"]}
        for i, licence in enumerate(licences)
    ]
    sidecar["training"] |= changes
    return metadata(dataclasses.replace(checkpoint, sidecar=sidecar))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_card_is_what_the_program_writes(folder: Path) -> None:
    assert (folder / CARD).read_text(encoding="utf-8") == card(load_checkpoint(folder), Index.load(folder))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_figures_of_a_card_are_the_sidecars(folder: Path) -> None:
    checkpoint = load_checkpoint(folder)
    text = card(checkpoint, None)
    front = yaml.safe_load(text.split("---\n")[1])
    metrics = checkpoint.sidecar["metrics"]
    assert [result["metrics"][0]["value"] for result in front["model-index"][0]["results"]] == [
        metrics["valid_nats_per_note"],
        metrics["test_nats_per_note"],
    ]
    for name, nats in metrics["baselines"].items():
        assert f"| {name} | {nats:.3f} | {metrics['baselines_test'][name]:.3f} |" in text
    for side, size in checkpoint.sidecar["corpus"]["split"].items():
        assert f"| {side} | {size['pieces']} | {size['notes']:,} |" in text
    for source in checkpoint.sidecar["corpus"]["sources"]:
        assert f"| {source['source']} | {source['licence']} | {source['pieces']} |" in text
    assert checkpoint.sidecar["weights_sha256"] in text


def test_the_metadata_is_what_the_hub_reads(v1: Checkpoint) -> None:
    front = yaml.safe_load(card(v1, None).split("---\n")[1])
    assert front == metadata(v1)
    for result in front["model-index"][0]["results"]:  # what the Hub's specification requires
        assert result["task"]["type"]
        assert result["dataset"]["type"]
        assert result["dataset"]["name"]
        assert all(set(metric) >= {"type", "value"} for metric in result["metrics"])


@pytest.mark.parametrize(
    "value",
    [
        {"a": [{"b": [1, 2.5], "c": {"d": None}}, {"b": ["x: y", '"'], "c": {"d": True}}], "e": "no"},
        {"a": [[1, [2]], [3]]},
    ],
)
def test_what_is_written_as_yaml_is_read_as_the_same(value: dict[str, Any]) -> None:
    assert yaml.safe_load(written(value)) == value


def test_weights_are_offered_under_the_licence_that_asks_for_most(v1: Checkpoint) -> None:
    assert learnt(v1, "CC0-1.0")["license"] == "mit"
    assert learnt(v1, "CC0-1.0", "CC-BY-4.0", "BSD-3-Clause")["license"] == "cc-by-4.0"
    assert learnt(v1, "CC-BY-4.0", "CC-BY-SA-4.0")["license"] == "cc-by-sa-4.0"
    # What the checkpoint was fine-tuned from may have asked for more.
    assert learnt(v1, "CC0-1.0", **{"from": "somebody's"})["license"] == "unknown"


def test_a_card_says_what_is_divided_by_title_and_what_the_cache_does() -> None:
    old, new = ((BUILT_IN / name / "README.md").read_text(encoding="utf-8") for name in ("v1", "v2"))
    assert "Pieces by nobody known are divided by title." in old
    assert "Pieces by the program and by nobody known are divided by title." in new
    without = load_checkpoint(BUILT_IN / "v2").sidecar["metrics"]["valid_nats_per_note_without_cache"]
    assert f"without its note cache, validation: {without:.3f}" in new
    assert "note cache" not in old


def test_a_corpus_that_was_divided_by_title_does_not_claim_more(v1: Checkpoint) -> None:
    sidecar = copy.deepcopy(v1.sidecar)
    assert "by people the model never heard" in card(v1, None)
    sidecar["corpus"]["split_by"] = "title"
    text = card(dataclasses.replace(v1, id="mine", sidecar=sidecar), None)
    assert "by people the model never heard" not in text
    assert "Split by title" in text


@pytest.mark.parametrize("split_by", ["title", "composer"])
def test_a_fine_tuned_model_does_not_claim_that_it_never_heard_what_is_measured(split_by: str, v1: Checkpoint) -> None:
    sidecar = copy.deepcopy(v1.sidecar)
    sidecar["corpus"] |= {"split_by": split_by, "held_out_learnt_before": {"valid": 2, "test": 0}}
    sidecar["training"]["from"] = "small-0"
    text = card(dataclasses.replace(v1, id="tuned", sidecar=sidecar), None)
    assert "the model never heard" not in text
    valid, test = (sidecar["corpus"]["split"][side]["pieces"] for side in ("valid", "test"))
    assert f"`small-0` had learnt before: 2 of {valid} (validation), 0 of {test} (test)." in text
    del sidecar["corpus"]["held_out_learnt_before"]
    assert "What `small-0` had learnt before may be among" in card(
        dataclasses.replace(v1, id="tuned", sidecar=sidecar), None
    )


def test_credits_and_notices_that_licences_ask_for_are_shown(v1: Checkpoint) -> None:
    text = card(v1, None)
    assert f"- {CREDIT} (CC-BY-4.0)" in text
    assert "https://creativecommons.org/licenses/by/4.0/" in text
    assert "Redistributions in binary form must reproduce the above copyright" in text


def test_music_that_was_learnt_before_is_credited_and_counts(v1: Checkpoint) -> None:
    sidecar = copy.deepcopy(v1.sidecar)
    sidecar["corpus"]["before"] = sidecar["corpus"]["sources"]
    sidecar["corpus"]["sources"] = [{"source": "mine", "licence": "LicenseRef-Own", "pieces": 3, "credits": ["Me"]}]
    sidecar["training"]["from"] = v1.id
    tuned = dataclasses.replace(v1, id="tuned", sidecar=sidecar)
    assert metadata(tuned)["license"] == "cc-by-4.0"
    assert f"{CREDIT} (learnt before)" in card(tuned, None)


def test_the_command_writes_a_card_or_says_why_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for file in (BUILT_IN / "v1").iterdir():
        if file.name != CARD:
            (tmp_path / file.name).symlink_to(file)
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / CARD).read_text(encoding="utf-8") == (BUILT_IN / "v1" / CARD).read_text(encoding="utf-8")
    assert main([str(tmp_path / "nowhere")]) == 1
    assert "There is no checkpoint" in caplog.text
    with pytest.raises(CheckpointProblem):
        write_card(tmp_path / "nowhere")
