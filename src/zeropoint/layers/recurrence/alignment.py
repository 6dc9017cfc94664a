"""Alignment scores: how attention compared a decoder state with source words before the transformer.

Additive: Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate", 2015. Dot,
general, concat: Luong et al., "Effective Approaches to Attention-based NMT", 2015, section 3.1. Concat equals
the additive form; the papers differ in whether attention comes before or after the recurrent step, which
`models/recurrent.py` decides. Additional axes: C columns of the state, M columns of the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Additive", "Dot", "General", "align"]


class Dot(nn.Module):
    """score = h . s; it has no parameters, so state and memory must have the same width."""

    def forward(self, state_BC: Tensor, memory_BSC: Tensor) -> Tensor:
        """Scores [B, S]."""
        return torch.einsum("bc,bsc->bs", state_BC, memory_BSC)


class General(nn.Module):
    """score = h . (W s): a matrix learns which columns of state and memory to compare."""

    def __init__(self, d_state: int, d_memory: int) -> None:
        super().__init__()
        self.memory = nn.Linear(d_memory, d_state, bias=False)

    def forward(self, state_BC: Tensor, memory_BSM: Tensor) -> Tensor:
        """Scores [B, S]."""
        return torch.einsum("bc,bsc->bs", state_BC, self.memory(memory_BSM))


class Additive(nn.Module):
    """score = v . tanh(U h + W s): a network with one hidden layer compares state and memory."""

    def __init__(self, d_state: int, d_memory: int, d_hidden: int) -> None:
        super().__init__()
        self.state = nn.Linear(d_state, d_hidden, bias=False)
        self.memory = nn.Linear(d_memory, d_hidden)
        self.score = nn.Linear(d_hidden, 1, bias=False)

    def forward(self, state_BC: Tensor, memory_BSM: Tensor) -> Tensor:
        """Scores [B, S]."""
        hidden_BSF = torch.tanh(self.state(state_BC)[:, None] + self.memory(memory_BSM))
        scores_BS: Tensor = self.score(hidden_BSF).squeeze(-1)
        return scores_BS


def align(scores_BS: Tensor, memory_BSM: Tensor, padding_mask_BS: Tensor | None) -> tuple[Tensor, Tensor]:
    """Attention weights [B, S], 0 on padding, and the context: the memory averaged with them [B, M]."""
    if padding_mask_BS is not None:
        scores_BS = scores_BS.masked_fill(~padding_mask_BS, -torch.inf)
    weights_BS = torch.softmax(scores_BS, dim=-1)
    return weights_BS, torch.einsum("bs,bsm->bm", weights_BS, memory_BSM)
