from __future__ import annotations

import dataclasses

import numpy as np
import torch

from data.listener import features
from data.moods import MOODS
from data.tokens import MOOD
from engine.batching.native import NativeSlots
from engine.checkpoint import DEFAULT, Checkpoint, load_checkpoint
from engine.guidance import guided
from engine.plan import NO_STYLES, plan, to_score
from engine.takes import Judge
from engine.types import ComposeRequest


def test_a_guidance_of_one_is_the_model_and_more_raises_the_odds() -> None:
    told, untold = torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.0, 0.5, -2.0])
    torch.testing.assert_close(guided(told, untold, 1.0), told)
    torch.testing.assert_close(guided(told, untold, 0.0), untold)
    shares = [torch.softmax(guided(told, untold, strength), 0) for strength in (1.0, 2.0, 4.0)]
    assert shares[0][0] < shares[1][0] < shares[2][0]
    odds = [float((share[0] / share[1]) / (untold[0] - untold[1]).exp()) for share in shares]
    np.testing.assert_allclose(odds[1:], [odds[0] ** 2, odds[0] ** 4], rtol=1e-5)


def test_what_is_told_nothing_is_told_tempo_and_mode_all_the_same() -> None:
    request = ComposeRequest(seed=3)
    decided = plan(request, NO_STYLES)
    told, untold = decided.told(request.mood), decided.untold()
    assert len(told) == len(untold)
    assert [at for at, (a, b) in enumerate(zip(told, untold, strict=True)) if a != b] == [MOOD]


def heard(checkpoint: Checkpoint, guidance: float) -> float:
    """How often single takes have the mood asked for, by the checkpoint's listener."""
    config = dataclasses.replace(checkpoint.config, guidance=guidance)
    slots = NativeSlots(dataclasses.replace(checkpoint, config=config), 128)
    wanted = [ComposeRequest(mood=MOODS[n % 8], length_notes=200, seed=900 + n) for n in range(128)]
    plans = [plan(request, checkpoint.styles) for request in wanted]
    for slot, (request, decided) in enumerate(zip(wanted, plans, strict=True)):
        slots.begin(slot, request, decided)
    while slots.run(60):
        pass
    rows = np.array([features(to_score(slots.tokens(slot), decided)) for slot, decided in enumerate(plans)])
    listener = Judge.of(checkpoint, None).listener
    assert listener is not None
    return float(np.mean([request.mood == mood for request, mood in zip(wanted, listener.hear(rows), strict=True)]))


def test_moods_are_heard_more_often_with_guidance() -> None:
    checkpoint = load_checkpoint(DEFAULT)
    assert heard(checkpoint, 2.0) > heard(checkpoint, 1.0) + 0.03
