"""Sequence to sequence before the transformer: a GRU reads, a GRU answers, and attention lies between.

Without attention all that was read must fit into one state (Sutskever et al., 2014; Cho et al., 2014).
Bahdanau et al., 2015, let the decoder look back before each step, with the state it has; Luong et al., 2015,
after the step, with the state it has just made. `alignment` gives the matrix that shows which word of the
source each word of the answer looked at.
Axes beside the house's: C columns of the state, M columns of the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from zeropoint.layers.recurrence.alignment import Additive, Dot, General, align
from zeropoint.layers.recurrence.gru import GRU, GRUCell

__all__ = ["EncodedSource", "Recurrent", "RecurrentSeq2Seq"]

Attention = Literal["none", "bahdanau", "dot", "general", "concat"]


@dataclass(frozen=True)
class Recurrent:
    """Sizes: n_vocab tokens, vectors of d_model, states of d_state; and how the decoder looks back."""

    n_vocab: int
    d_model: int
    d_state: int
    attention: Attention = "bahdanau"


@dataclass(frozen=True)
class EncodedSource:
    """What was read: memory_BSM, a vector a word; is_token_BS, false for padding; start_BC, first state."""

    memory_BSM: Tensor
    is_token_BS: Tensor | None
    start_BC: Tensor


class RecurrentSeq2Seq(nn.Module):
    """An encoder that reads both ways, a decoder that reads what it has said and looks back."""

    def __init__(self, spec: Recurrent) -> None:
        super().__init__()
        self.spec = spec
        d_model, d_state = spec.d_model, spec.d_state
        looks_first = spec.attention == "bahdanau"
        self.embedding = nn.Embedding(spec.n_vocab, d_model)
        self.forwards = GRU(d_model, d_state)
        self.backwards = GRU(d_model, d_state, is_backward=True)
        self.start = nn.Linear(2 * d_state, d_state)
        self.memory = nn.Linear(2 * d_state, d_state, bias=False)
        self.cell = GRUCell(d_model + (d_state if looks_first else 0), d_state)
        self.score = _score(spec)
        self.combined = nn.Linear(2 * d_state if spec.attention != "none" else d_state, d_state)
        self.output = nn.Linear(d_state, spec.n_vocab)

    def forward(self, source_BS: Tensor, answer_BT: Tensor, source_mask_BS: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] of the token after each of the answer's. source_mask_BS: false for padding."""
        return self.answer(self.encode(source_BS, source_mask_BS), answer_BT)[0]

    def alignment(self, source_BS: Tensor, answer_BT: Tensor, source_mask_BS: Tensor | None = None) -> Tensor:
        """Weights [B, T, S]: what each token of the answer looked at when the next one was chosen."""
        return self.answer(self.encode(source_BS, source_mask_BS), answer_BT)[1]

    def encode(self, source_BS: Tensor, source_mask_BS: Tensor | None = None) -> EncodedSource:
        """Read the source."""
        x_BSD = self.embedding(source_BS)
        ahead_BSC, back_BSC = self.forwards(x_BSD, source_mask_BS), self.backwards(x_BSD, source_mask_BS)
        both_ends = torch.cat([ahead_BSC[:, -1], back_BSC[:, 0]], dim=-1)
        memory_BSC = self.memory(torch.cat([ahead_BSC, back_BSC], dim=-1))
        return EncodedSource(memory_BSC, source_mask_BS, torch.tanh(self.start(both_ends)))

    def answer(self, source: EncodedSource, answer_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, T, V] and alignment [B, T, S] for an answer that is given (teacher forcing)."""
        state_BC, steps = source.start_BC, []
        for x_BD in self.embedding(answer_BT).unbind(1):
            state_BC, logits_BV, weights_BS = self.step(source, x_BD, state_BC)
            steps.append((logits_BV, weights_BS))
        logits, weights = zip(*steps, strict=True)
        return torch.stack(logits, dim=1), torch.stack(weights, dim=1)

    def step(self, source: EncodedSource, x_BD: Tensor, state_BC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From the vector of the last token: the next state, logits [B, V] and weights [B, S]."""
        if self.score is None:
            state_BC = self.cell(x_BD, state_BC)
            nowhere_BS = source.memory_BSM.new_zeros(source.memory_BSM.shape[:2])
            return state_BC, self.output(torch.tanh(self.combined(state_BC))), nowhere_BS
        if self.spec.attention == "bahdanau":
            weights_BS, context_BM = self.look(source, state_BC)
            state_BC = self.cell(torch.cat([x_BD, context_BM], dim=-1), state_BC)
        else:
            state_BC = self.cell(x_BD, state_BC)
            weights_BS, context_BM = self.look(source, state_BC)
        combined = torch.tanh(self.combined(torch.cat([context_BM, state_BC], dim=-1)))
        return state_BC, self.output(combined), weights_BS

    def look(self, source: EncodedSource, state_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Weights [B, S] over the source's words, and their mixture [B, M]."""
        score = cast(nn.Module, self.score)  # this kind has one
        return align(score(state_BC, source.memory_BSM), source.memory_BSM, source.is_token_BS)


def _score(spec: Recurrent) -> nn.Module | None:
    match spec.attention:
        case "none":
            return None
        case "dot":
            return Dot()
        case "general":
            return General(spec.d_state, spec.d_state)
        case _:
            return Additive(spec.d_state, spec.d_state, spec.d_state)
