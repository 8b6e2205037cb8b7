"""Classifier-free guidance: notes that lean towards what was asked for.

A model that is told a mood still writes much that any mood could have. So a second copy of its state hears the same
notes and is told neither mood nor controls, and each attribute is drawn from

    log p(x) = log p_untold(x) + guidance (log p_told(x) - log p_untold(x)) + a constant

What the mood makes likelier becomes likelier still, what it makes rarer rarer: with a guidance of 1 the model is as it
learnt, beyond 1 the odds between the two are raised to that power (Ho & Salimans 2022, "Classifier-free diffusion
guidance"; Sanchez et al. 2023, "Stay on topic with classifier-free guidance", for language models). Training shows some
pieces with nothing told (`trainer.config`), so the second copy knows what it does.

The cache (`engine.note_cache`) then mixes with the guided distribution; its keys are the states of the copy that is
told. What a note costs (nats) is always asked of the model as it learnt. `engine/native/step.c`,
`engine.batching.torch_step` and `engine.batching.gpu.attribute` do the same.
"""

from __future__ import annotations

from torch import Tensor


def guided(told: Tensor, untold: Tensor, guidance: float) -> Tensor:
    """The logits to draw from, but for a constant.

    Args:
        told: [..., V] float32 logits, finite.
        untold: likewise.
        guidance: 1 gives `told`, 0 `untold`.
    """
    return untold + guidance * (told - untold)
