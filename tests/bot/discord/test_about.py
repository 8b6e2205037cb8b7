"""/about: the card of the model in use, from the checkpoint's own files."""

import json
from pathlib import Path

import pytest

from bot.discord.about import about_embed
from bot.models import _read
from engine.card import count_parameters
from engine.checkpoint import BUILT_IN, load_checkpoint


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_the_card_says_what_the_checkpoint_is_and_learnt_from(name: str) -> None:
    folder = BUILT_IN / name
    model = _read(folder, current=True)
    assert model is not None
    fields = {field.name: field.value for field in about_embed(model, "https://example.org", None).fields}
    parameters = sum(each.numel() for each in load_checkpoint(folder).model.parameters())
    assert fields["parameters"] == f"{parameters:,}"
    for source in json.loads((folder / "model.json").read_text())["corpus"]["sources"]:
        assert f"{source['source']} ({source['licence']})" in fields["training pieces"]
    assert "nats" in fields["loss on unseen music"]


def test_weights_that_cannot_be_read_have_no_count(tmp_path: Path) -> None:
    assert count_parameters(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 20)
    assert count_parameters(tmp_path) is None
