"""MusicLSTM: the note model. One LSTM step is one note.

The input of step t is one vector of width E: the sum of the embeddings of the five attributes of note t-1, of six
conditions (mood, mode, tempo, notes remaining, position in the bar, polyphony) and, in a model that has them, of the
controls of the whole piece (`data.controls`). From the step's hidden state the
attributes of note t are predicted one after the other, each seeing those already chosen, which factorises the
distribution over the next note exactly:

    p(note) = p(part) p(delta | part) p(pitch | part, delta) p(duration | part..pitch) p(velocity | part..duration)

Shapes: B pieces, T notes, E embedding, H hidden, V_i values of attribute i, C conditions and controls.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from data.tokens import ATTRIBUTES
from engine.checkpoint import Checkpoint
from engine.model_config import ModelConfig

State = tuple[Tensor, Tensor]  # (h, c), each [layers, B, H] float32


class LockedDropout(nn.Module):
    """Dropout whose mask is the same at every step of a sequence (Gal & Ghahramani 2016)."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, values: Tensor) -> Tensor:
        """Drop a share of the features.

        Args:
            values: [B, T, F] float.
        """
        if not self.training or self.share == 0.0:
            return values
        keep = torch.empty_like(values[:, :1]).bernoulli_(1.0 - self.share)  # [B, 1, F]
        return values * keep / (1.0 - self.share)


class NoteLSTM(nn.Module):
    """The network. It holds no state between calls: the caller keeps `State`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.embedding
        # The extra last row of each table stands for "no note yet".
        self.note_embeddings = nn.ModuleList(nn.Embedding(a.size + 1, width) for a in ATTRIBUTES)
        self.condition_embeddings = nn.ModuleList(nn.Embedding(size, width) for size in config.tables)
        dropout = LockedDropout if config.variational else nn.Dropout
        self.input_dropout = dropout(config.dropout)
        self.lstm = nn.LSTM(
            width,
            config.hidden,
            config.layers,
            batch_first=True,
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.output_dropout = dropout(config.dropout)
        self.queries = nn.ModuleList(nn.Linear(config.hidden, width) for _ in ATTRIBUTES)
        # chosen[k]: what attribute j < i of the same note, once chosen, tells attribute i; k counts (i, j) row by row.
        self.chosen = nn.ModuleList(
            nn.Embedding(ATTRIBUTES[j].size, width) for i in range(len(ATTRIBUTES)) for j in range(i)
        )
        # Tied, a head has an output for "no note yet" too, which is never asked for.
        self.outputs = nn.ModuleList(nn.Linear(width, a.size + config.tied) for a in ATTRIBUTES)
        self._initialise()
        if config.tied:
            for table, head in zip(self.note_embeddings, self.outputs, strict=True):
                head.weight = table.weight

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> NoteLSTM:
        """The network of a checkpoint, to be used and not to be trained: on the CPU, in evaluation mode, float32."""
        model = cls(checkpoint.config)
        model.take(checkpoint)
        return model.eval().requires_grad_(requires_grad=False)

    def take(self, checkpoint: Checkpoint) -> None:
        """Go on from the weights of a checkpoint.

        Raises:
            RuntimeError: it has another shape.
        """
        self.load_state_dict({name: torch.from_numpy(array).float() for name, array in checkpoint.weights.items()})

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Embedding):
                # A sum of many unit normals would saturate the first gates.
                nn.init.normal_(module.weight, std=0.1)
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias_ih"):
                # Gates stand in the order i, f, g, o. An open forget gate lets gradients reach far from the start
                # (Jozefowicz et al. 2015, section 2.3).
                with torch.no_grad():
                    parameter[self.config.hidden : 2 * self.config.hidden].fill_(1.0)

    def initial_state(self, batch: int, device: torch.device | None = None) -> State:
        """Zero state: (h, c), each [layers, batch, H] float32."""
        shape = (self.config.layers, batch, self.config.hidden)
        return torch.zeros(shape, device=device), torch.zeros(shape, device=device)

    def inputs(self, previous: Tensor, conditions: Tensor) -> Tensor:
        """Sum of embeddings.

        Args:
            previous: [B, T, 5] int64, the note before each step; `ATTRIBUTES[i].size` where there is none.
            conditions: [B, T, >= C] int64; columns beyond the model's own are not read.

        Returns:
            [B, T, E] float32.
        """
        total = torch.zeros((), device=previous.device)
        for i, table in enumerate(self.note_embeddings):
            total = total + table(previous[..., i])
        for i, table in enumerate(self.condition_embeddings):
            total = total + table(conditions[..., i])
        return total

    def forward(self, previous: Tensor, conditions: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Run the LSTM over T notes.

        Args:
            previous: [B, T, 5] int64.
            conditions: [B, T, >= C] int64.
            state: of the step before, or None for zeros.

        Returns:
            hidden [B, T, H] float32, and the state after the last step.
        """
        inputs = self.input_dropout(self.inputs(previous, conditions))
        if self.training and self.config.weight_dropout:
            hidden, state = functional_call(self.lstm, self._thinned(), (inputs, state))
        else:
            hidden, state = self.lstm(inputs, state)
        return self.output_dropout(hidden), state

    def _thinned(self) -> dict[str, Tensor]:
        """The recurrent weights with a share of them dropped, the same ones for all steps and pieces."""
        return {
            name: functional.dropout(weight, self.config.weight_dropout)
            for name, weight in self.lstm.named_parameters()
            if name.startswith("weight_hh")
        }

    def attribute_logits(self, attribute: int, hidden: Tensor, note: Tensor) -> Tensor:
        """Unnormalised log-probabilities of one attribute.

        Args:
            attribute: index into ATTRIBUTES.
            hidden: [..., H] float32.
            note: [..., >= attribute] int64, the attributes of the same note chosen so far.

        Returns:
            [..., V_attribute] float32.
        """
        query = self.queries[attribute](hidden)  # [..., E]
        first = attribute * (attribute - 1) // 2
        for j in range(attribute):
            query = query + self.chosen[first + j](note[..., j])
        logits: Tensor = self.outputs[attribute](torch.tanh(query))
        return logits[..., : ATTRIBUTES[attribute].size]  # [..., V]

    def nats(self, hidden: Tensor, target: Tensor) -> Tensor:
        """Negative log-likelihood of each attribute of each note, in nats.

        Args:
            hidden: [N, H] float32.
            target: [N, 5] int64.

        Returns:
            [N, 5] float32; the sum over the last axis is the cross-entropy of the note.
        """
        losses = [
            functional.cross_entropy(self.attribute_logits(i, hidden, target), target[:, i], reduction="none")
            for i in range(len(ATTRIBUTES))
        ]
        return torch.stack(losses, dim=-1)  # [N, 5]
