"""/about: the card of the model in use, from the checkpoint's own files."""

import json
from pathlib import Path

import pytest

from bot.discord.about import about_embed
from bot.models import Model
from engine.card import count_parameters, read_card
from engine.checkpoint import BUILT_IN, load_checkpoint
from engine.errors import CheckpointProblem
from engine.model import NoteLSTM


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_the_card_says_what_the_checkpoint_is_and_learnt_from(name: str) -> None:
    folder = BUILT_IN / name
    model = Model(read_card(folder), folder, current=True)
    fields = {field.name: field.value for field in about_embed(model, "https://example.org", None).fields}
    parameters = sum(each.numel() for each in NoteLSTM.of(load_checkpoint(folder)).parameters())
    assert fields["parameters"] == f"{parameters:,}"
    says = json.loads((folder / "model.json").read_text())
    for source in says["corpus"]["sources"]:
        assert f"{source['source']} ({source['licence']})" in fields["training pieces"]
    losses = fields["loss on unseen music"]
    assert f"validation: {says['metrics']['valid_nats_per_note']:.2f} nats" in losses
    assert f"test: {says['metrics']['test_nats_per_note']:.2f} nats" in losses
    assert f"5-gram {says['metrics']['baselines_test']['5-gram']:.2f}" in losses


def test_weights_that_cannot_be_read_have_no_count(tmp_path: Path) -> None:
    assert count_parameters(tmp_path) is None
    (tmp_path / "model.json").write_text('{"config": {}}')
    assert count_parameters(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    assert count_parameters(tmp_path) is None


def test_a_sidecar_that_says_little_makes_a_short_card(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"name": "mine", "weights_sha256": "ab" * 32, "corpus": "lost"}))
    embed = about_embed(Model(read_card(tmp_path), tmp_path, current=True), "https://example.org", None)
    assert embed.fields[0].value == "`mine-abababab`"
    assert not {"parameters", "loss on unseen music", "training pieces"} & {field.name for field in embed.fields}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "mine", "weights_sha256": 5}'])
def test_a_folder_that_is_no_checkpoint_has_no_card(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(CheckpointProblem):
        read_card(tmp_path)
