"""Sequence-to-sequence models before the transformer: a GRU encoder, a GRU decoder, and attention between
them.

Without attention, the source must fit into one state vector (Sutskever et al., 2014; Cho et al., 2014). In
Bahdanau et al., 2015, the decoder attends to the source before each recurrent step, with the previous state;
in Luong et al., 2015, after it, with the new state. `alignment` returns the attention matrix: which source
word each word of the answer attended to. Additional axes: C columns of the state, M columns of the memory.
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
    """Sizes: n_vocab tokens, embeddings of width d_model, states of width d_state; kind of attention."""

    n_vocab: int
    d_model: int
    d_state: int
    attention: Attention = "bahdanau"


@dataclass(frozen=True)
class EncodedSource:
    """memory_BSM: encoder states; padding_mask_BS: False for padding; start_BC: first decoder state."""

    memory_BSM: Tensor
    padding_mask_BS: Tensor | None
    start_BC: Tensor


class RecurrentSeq2Seq(nn.Module):
    """A bidirectional GRU encoder and a GRU decoder with attention to the encoder's states."""

    def __init__(self, spec: Recurrent) -> None:
        super().__init__()
        self.spec = spec
        d_model, d_state = spec.d_model, spec.d_state
        attends_first = spec.attention == "bahdanau"
        self.embedding = nn.Embedding(spec.n_vocab, d_model)
        self.forward_gru = GRU(d_model, d_state)
        self.backward_gru = GRU(d_model, d_state, is_backward=True)
        self.start = nn.Linear(2 * d_state, d_state)
        self.memory = nn.Linear(2 * d_state, d_state, bias=False)
        self.cell = GRUCell(d_model + (d_state if attends_first else 0), d_state)
        self.score = _score(spec)
        self.combined = nn.Linear(2 * d_state if spec.attention != "none" else d_state, d_state)
        self.output = nn.Linear(d_state, spec.n_vocab)

    def forward(self, source_BS: Tensor, answer_BT: Tensor, source_mask_BS: Tensor | None = None) -> Tensor:
        """Logits [B, T, V] after each token of the answer. source_mask_BS: False for padding."""
        return self.answer(self.encode(source_BS, source_mask_BS), answer_BT)[0]

    def alignment(self, source_BS: Tensor, answer_BT: Tensor, source_mask_BS: Tensor | None = None) -> Tensor:
        """Attention weights [B, T, S]: where each answer token attended to predict the next one."""
        return self.answer(self.encode(source_BS, source_mask_BS), answer_BT)[1]

    def encode(self, source_BS: Tensor, source_mask_BS: Tensor | None = None) -> EncodedSource:
        """Encode the source."""
        x_BSD = self.embedding(source_BS)
        forward_BSC, backward_BSC = (
            self.forward_gru(x_BSD, source_mask_BS),
            self.backward_gru(x_BSD, source_mask_BS),
        )
        final_states = torch.cat([forward_BSC[:, -1], backward_BSC[:, 0]], dim=-1)
        memory_BSC = self.memory(torch.cat([forward_BSC, backward_BSC], dim=-1))
        return EncodedSource(memory_BSC, source_mask_BS, torch.tanh(self.start(final_states)))

    def answer(self, source: EncodedSource, answer_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [B, T, V] and alignment [B, T, S] for a known answer (teacher forcing)."""
        state_BC, steps = source.start_BC, []
        for x_BD in self.embedding(answer_BT).unbind(1):
            state_BC, logits_BV, weights_BS = self.step(source, x_BD, state_BC)
            steps.append((logits_BV, weights_BS))
        logits, weights = zip(*steps, strict=True)
        return torch.stack(logits, dim=1), torch.stack(weights, dim=1)

    def step(self, source: EncodedSource, x_BD: Tensor, state_BC: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One decoding step from the last token's embedding: next state, logits [B, V] and weights [B, S]."""
        if self.score is None:
            state_BC = self.cell(x_BD, state_BC)
            no_weights_BS = source.memory_BSM.new_zeros(source.memory_BSM.shape[:2])
            return state_BC, self.output(torch.tanh(self.combined(state_BC))), no_weights_BS
        if self.spec.attention == "bahdanau":
            weights_BS, context_BM = self.attend(source, state_BC)
            state_BC = self.cell(torch.cat([x_BD, context_BM], dim=-1), state_BC)
        else:
            state_BC = self.cell(x_BD, state_BC)
            weights_BS, context_BM = self.attend(source, state_BC)
        combined = torch.tanh(self.combined(torch.cat([context_BM, state_BC], dim=-1)))
        return state_BC, self.output(combined), weights_BS

    def attend(self, source: EncodedSource, state_BC: Tensor) -> tuple[Tensor, Tensor]:
        """Attention weights [B, S] over the source, and the context [B, M]."""
        score = cast(nn.Module, self.score)  # None only for attention "none", which never attends
        return align(score(state_BC, source.memory_BSM), source.memory_BSM, source.padding_mask_BS)


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
