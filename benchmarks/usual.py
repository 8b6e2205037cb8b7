"""How others write notes: the usual way with our model, and two well-known architectures. Weights are random.

Speed does not depend on what weights are, so none are needed. Each function returns a stepper: called with a number of
steps, it makes so many notes in each row of its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from data.tokens import ATTRIBUTES
from engine.guidance import guided
from engine.model import NoteLSTM

Stepper = Callable[[int], None]

WINDOW_NOTES = 50  # what the model of the card was trained on, and what is run again for every note
_TEMPERATURE, _TOP_P = 0.9, 0.95


def sort_and_draw(logits: Tensor) -> Tensor:
    """[B] int64: nucleus sampling as most projects write it, with a full sort and `multinomial`."""
    ordered, order = torch.sort(logits / _TEMPERATURE, descending=True, dim=-1)  # [B, V]
    probabilities = torch.softmax(ordered, -1)
    probabilities[probabilities.cumsum(-1) - probabilities >= _TOP_P] = 0
    return order.gather(-1, torch.multinomial(probabilities, 1))[:, 0]


def _random_rows(sizes: list[int], batch: int, length: int) -> Tensor:
    return torch.stack([torch.randint(size, (batch, length)) for size in sizes], dim=-1)  # [B, T, attributes]


def _rows(model: NoteLSTM, of_pieces: Tensor) -> Tensor:
    """[R, ...] out of [B, ...]: with guidance (`engine.guidance`) every piece stands in the batch twice."""
    return of_pieces if model.config.guidance == 1 else torch.cat([of_pieces, of_pieces])


def _note(model: NoteLSTM, hidden: Tensor) -> Tensor:
    """[B, 5] int64 from [R, H]."""
    pieces = len(hidden) if model.config.guidance == 1 else len(hidden) // 2
    note = torch.zeros(pieces, len(ATTRIBUTES), dtype=torch.int64)
    for attribute in range(len(ATTRIBUTES)):
        logits = model.attribute_logits(attribute, hidden, _rows(model, note))
        if len(logits) > pieces:
            logits = guided(logits[:pieces], logits[pieces:], model.config.guidance)
        note[:, attribute] = sort_and_draw(logits)
    return note


def usual(model: NoteLSTM, batch: int) -> Stepper:
    """The usual way: the whole window through nn.LSTM for each note, a sort and `multinomial` for each attribute."""
    window = _random_rows([attribute.size for attribute in ATTRIBUTES], batch, WINDOW_NOTES)
    told = _random_rows(list(model.config.tables), len(_rows(model, window)), WINDOW_NOTES)

    def step(steps: int) -> None:
        nonlocal window
        for _ in range(steps):
            hidden, _ = model(_rows(model, window), told)
            window = torch.cat([window[:, 1:], _note(model, hidden[:, -1])[:, None]], dim=1)

    return step


def one_step(model: NoteLSTM, batch: int) -> Stepper:
    """nn.LSTM with its state kept: one step a note, the same sampling."""
    previous = _random_rows([attribute.size for attribute in ATTRIBUTES], batch, 1)
    told = _random_rows(list(model.config.tables), len(_rows(model, previous)), 1)
    state = model.initial_state(len(told))

    def step(steps: int) -> None:
        nonlocal previous, state
        for _ in range(steps):
            hidden, state = model(_rows(model, previous), told, state)
            previous = _note(model, hidden[:, -1])[:, None]

    return step


def skuldur(batch: int) -> Stepper:
    """Skuldur's Classical Piano Composer (https://github.com/Skuldur/Classical-Piano-Composer, `lstm.py`).

    Three LSTM layers of 512, a dense one of 256, 300-odd note names, and the last 100 notes run again for each.
    """
    lstm = nn.LSTM(1, 512, 3, batch_first=True).eval()
    dense, out = nn.Linear(512, 256), nn.Linear(256, 358)
    window = torch.rand(batch, 100, 1)

    def step(steps: int) -> None:
        nonlocal window
        for _ in range(steps):
            hidden, _ = lstm(window)
            name = out(torch.relu(dense(hidden[:, -1]))).argmax(-1)  # it takes the likeliest
            window = torch.cat([window[:, 1:], (name / 358)[:, None, None]], dim=1)

    return step


class _Block(nn.Module):
    """One layer of a transformer that keeps the keys and values of what it has seen."""

    def __init__(self, width: int, heads: int, context: int, batch: int) -> None:
        super().__init__()
        self.heads = heads
        self.attend, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.kept = torch.randn(2, batch, heads, context, width // heads)

    def forward(self, x: Tensor, at: int) -> Tensor:
        batch, width = x.shape
        query, key, value = self.attend(self.before(x)).view(batch, 3, self.heads, 1, -1).unbind(1)
        self.kept[0, :, :, at : at + 1], self.kept[1, :, :, at : at + 1] = key, value
        seen = self.kept[:, :, :, : at + 1]
        x = x + self.merge(functional.scaled_dot_product_attention(query, seen[0], seen[1]).reshape(batch, width))
        narrowed: Tensor = self.narrow(functional.gelu(self.widen(self.after(x))))
        return x + narrowed


TOKENS_PER_NOTE = 4.3  # REMI, measured with MidiTok 3.1.0 on the project's corpus
_CONTEXT_TOKENS = 1024


def transformer(batch: int) -> Stepper:
    """A Music Transformer of 6 layers of 512 (Huang et al. 2018), flat event tokens, key-value cache half full."""
    blocks = nn.ModuleList(_Block(512, 8, _CONTEXT_TOKENS, batch) for _ in range(6)).eval()
    embedding, out = nn.Embedding(400, 512), nn.Linear(512, 400)
    token, owed = torch.zeros(batch, dtype=torch.int64), 0.0

    def step(steps: int) -> None:
        nonlocal token, owed
        owed += steps * TOKENS_PER_NOTE
        while owed >= 1:
            owed -= 1
            x = embedding(token)
            for block in blocks:
                x = block(x, _CONTEXT_TOKENS // 2)
            token = sort_and_draw(out(x))

    return step
