"""Notes out of a checkpoint, one LSTM step a note, one piece at a time: the readable statement of what is drawn.

Pieces are made by `engine.batching`, which does the same many times faster and is tested against this. The five
attributes of a note are drawn one after the other with temperature and nucleus sampling (Holtzman et al. 2020), each
from its own number of the request's counter-based generator: the same request gives the same notes on the same machine
and checkpoint, whatever else runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count

import numpy as np
import torch
from torch import Tensor

from data.tokens import (
    ATTRIBUTES,
    DELTA,
    DURATION,
    PART,
    PITCH,
    IntArray,
    Position,
    remaining_bin,
)
from engine.batching.randomness import uniform
from engine.checkpoint import Checkpoint
from engine.guidance import guided
from engine.model import NoteLSTM
from engine.note_cache import NoteCache
from engine.plan import Plan
from engine.types import ComposeRequest


class Sampler:
    """Draws pieces from one checkpoint. Not for two threads at once: the caller takes turns.

    Args:
        checkpoint: the model; its weights are copied to `device` in the layout of the step.
        device: "cuda" or "cpu"; None: CUDA where `torch.cuda.is_available()`.
    """

    def __init__(self, checkpoint: Checkpoint, device: str | None = None) -> None:
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.longest_pitch_run = checkpoint.longest_pitch_run
        self._config = checkpoint.config
        self._weights = _Fused(NoteLSTM.of(checkpoint), self.device)

    def sample(self, request: ComposeRequest, plan: Plan) -> IntArray:
        """Draw a piece, in the model's key of C.

        Args:
            request: mood, length, temperature, top-p, seed and opening.
            plan: tempo and key of the request.

        Returns:
            [request.length_notes, 5] int64.
        """
        length = request.length_notes
        opening = [] if request.opening is None else request.opening.tokens.tolist()
        listeners = [plan.told(request.mood), plan.untold()][: 1 if self._config.guidance == 1 else 2]
        tokens = np.zeros((length, len(ATTRIBUTES)), dtype=np.int64)
        previous = [attribute.size for attribute in ATTRIBUTES]
        cache = NoteCache(self._config)
        position, run = Position(), 0
        with torch.inference_mode():
            states = [self._weights.initial_state() for _ in listeners]
            for t in range(length):
                moving = [remaining_bin(length - t), position.bar_position, position.polyphony]
                queries = [
                    self._weights.step([*previous, mood, mode, tempo, *moving, *controls], state)
                    for (mood, mode, tempo, *controls), state in zip(listeners, states, strict=True)
                ]
                cache.look(states[0][-1][0].cpu())
                note: list[int] = []
                for attribute in range(len(ATTRIBUTES)):
                    told, *untold = (self._weights.logits(attribute, query, note).cpu() for query in queries)
                    alone = guided(told, untold[0], self._config.guidance) if untold else told
                    if t < len(opening):
                        note.append(opening[t][attribute])
                    else:
                        logits = cache.mix(attribute, alone.clone())
                        if t == 0:
                            if attribute == DELTA:
                                logits[1:] = -torch.inf  # a piece begins with its first note
                        else:
                            forbid(logits, attribute, note, previous, run >= self.longest_pitch_run)
                        number = partial(uniform, (request.seed, 0), t, attribute)
                        note.append(draw(logits, request.temperature, request.top_p, number))
                    cache.choose(attribute, note[-1], alone)
                cache.keep(note)
                run = run + 1 if note[PITCH] == previous[PITCH] else 1
                tokens[t] = note
                position.add(note[DELTA], note[DURATION])
                previous = note
        return tokens


def forbid(logits: Tensor, attribute: int, note: list[int], previous: list[int], run_is_full: bool) -> None:
    """Rule out what no score in ascending order contains, and a pitch repeated as often as the training music does.

    Args:
        logits: [V] float32, changed in place.
        attribute: the one about to be drawn.
        note: attributes drawn so far.
        previous: the note before.
        run_is_full: the last pitch may not come again.
    """
    if attribute == DELTA:
        top = previous[PITCH] == ATTRIBUTES[PITCH].size - 1
        if note[PART] < previous[PART] or (note[PART] == previous[PART] and top):
            logits[0] = -torch.inf
    elif attribute == PITCH:
        if note[DELTA] == 0 and note[PART] == previous[PART]:
            logits[: previous[PITCH] + 1] = -torch.inf
        elif run_is_full:
            logits[previous[PITCH]] = -torch.inf


def draw(logits: Tensor, temperature: float, top_p: float, number: Callable[[int], float]) -> int:
    """Draw an index from the nucleus of softmax(logits / temperature), without sorting.

    A value is in the nucleus when all that is strictly more likely weighs less than `top_p`; of values that are equally
    likely, all or none. A draw from all of them is taken if it lies in the nucleus; else everything that is at most as
    likely lies outside too, is dropped, and the draw repeated. So the result follows the nucleus exactly.

    Args:
        logits: [V] float32; -inf rules a value out.
        temperature: > 0.
        top_p: in (0, 1].
        number: the random number in [0, 1) for each try, from 0.
    """
    mass = torch.softmax(logits.double() / temperature, dim=-1).cpu().numpy()  # [V]
    left = mass
    for attempt in count():
        cumulative = np.cumsum(left)
        drawn = int(np.searchsorted(cumulative, number(attempt) * cumulative[-1], side="right"))
        chosen = min(drawn, int(np.flatnonzero(left)[-1]))  # rounding may lead past the last value
        if mass[mass > mass[chosen]].sum() < top_p:
            break
        left = np.where(mass > mass[chosen], mass, 0.0)
    return chosen


class _Fused:
    """The weights of a NoteLSTM laid out for one step of one piece."""

    def __init__(self, model: NoteLSTM, device: torch.device) -> None:
        config = model.config
        self._hidden, self._layers = config.hidden, config.layers
        self._conditions = len(config.tables)
        self._device = device
        weights = {name: tensor.detach().to(device) for name, tensor in model.state_dict().items()}
        tables = [weights[f"note_embeddings.{i}.weight"] for i in range(len(ATTRIBUTES))]
        tables += [weights[f"condition_embeddings.{i}.weight"] for i in range(self._conditions)]
        self._offsets = torch.tensor([0, *np.cumsum([len(table) for table in tables])[:-1]], device=device)
        # One row for each value of each attribute and condition, already multiplied by the first layer's input weights.
        self._input_rows = torch.cat(tables) @ weights["lstm.weight_ih_l0"].T  # [sum V, 4H]
        self._biases = [weights[f"lstm.bias_ih_l{n}"] + weights[f"lstm.bias_hh_l{n}"] for n in range(self._layers)]
        self._recurrent = [weights["lstm.weight_hh_l0"]]  # [4H, H]
        for n in range(1, self._layers):
            # [4H, 2H]: input and recurrent weights side by side, one product a layer.
            self._recurrent.append(torch.cat([weights[f"lstm.weight_ih_l{n}"], weights[f"lstm.weight_hh_l{n}"]], dim=1))
        self._query = torch.cat([weights[f"queries.{i}.weight"] for i in range(len(ATTRIBUTES))])  # [5E, H]
        self._query_bias = torch.cat([weights[f"queries.{i}.bias"] for i in range(len(ATTRIBUTES))])  # [5E]
        self._chosen = [weights[f"chosen.{k}.weight"] for k in range(len(model.chosen))]
        self._output = [weights[f"outputs.{i}.weight"][: a.size] for i, a in enumerate(ATTRIBUTES)]  # [V_i, E]
        self._output_bias = [weights[f"outputs.{i}.bias"][: a.size] for i, a in enumerate(ATTRIBUTES)]

    def initial_state(self) -> list[tuple[Tensor, Tensor]]:
        """Zeros: (h, c) of each layer, each [H] float32."""
        zero = torch.zeros(self._hidden, device=self._device)
        return [(zero, zero) for _ in range(self._layers)]

    def step(self, indices: list[int], state: list[tuple[Tensor, Tensor]]) -> Tensor:
        """One LSTM step; `state` is replaced in place.

        Args:
            indices: the five attributes of the previous note, the six conditions and the controls.
            state: (h, c) of each layer.

        Returns:
            [5, E] float32, what the hidden state tells each attribute.
        """
        known = indices[: len(self._offsets)]  # a model without controls reads none
        rows = torch.tensor(known, device=self._device) + self._offsets
        gates = self._input_rows.index_select(0, rows).sum(0) + self._biases[0]  # [4H]
        hidden = state[0][0]
        gates = torch.addmv(gates, self._recurrent[0], hidden)
        for layer in range(self._layers):
            if layer:
                both = torch.cat([hidden, state[layer][0]])  # [2H]
                gates = torch.addmv(self._biases[layer], self._recurrent[layer], both)  # [4H]
            write, forget, candidate, read = gates.view(4, self._hidden)
            cell = torch.sigmoid(forget) * state[layer][1] + torch.sigmoid(write) * torch.tanh(candidate)
            hidden = torch.sigmoid(read) * torch.tanh(cell)
            state[layer] = hidden, cell
        return torch.addmv(self._query_bias, self._query, hidden).view(len(ATTRIBUTES), -1)

    def logits(self, attribute: int, queries: Tensor, note: list[int]) -> Tensor:
        """[V] float32: unnormalised log-probabilities of one attribute, given those of the same note in `note`."""
        query = queries[attribute]
        first = attribute * (attribute - 1) // 2
        for j in range(attribute):
            query = query + self._chosen[first + j][note[j]]
        return torch.addmv(self._output_bias[attribute], self._output[attribute], torch.tanh(query))
