"""How well each word of a source fits what the decoder is about: attention before the transformer.

Additive: Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate", 2015.
Dot, general, concat: Luong et al., "Effective Approaches to Attention-based NMT", 2015, section 3.1. Concat
is the additive form again; the two papers differ in when they ask, which is the model's affair.
Axes beside the house's: C columns of the state, M columns of the memory.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Additive", "Dot", "General", "align"]


class Dot(nn.Module):
    """h . s: nothing to learn, so that both sides must be equally wide."""

    def forward(self, state_BC: Tensor, memory_BSC: Tensor) -> Tensor:
        """Scores [B, S]."""
        return torch.einsum("bc,bsc->bs", state_BC, memory_BSC)


class General(nn.Module):
    """h . (W s): a matrix learns which columns of one answer to which of the other."""

    def __init__(self, d_state: int, d_memory: int) -> None:
        super().__init__()
        self.memory = nn.Linear(d_memory, d_state, bias=False)

    def forward(self, state_BC: Tensor, memory_BSM: Tensor) -> Tensor:
        """Scores [B, S]."""
        return torch.einsum("bc,bsc->bs", state_BC, self.memory(memory_BSM))


class Additive(nn.Module):
    """v . tanh(U h + W s): a small network with one hidden layer compares the two."""

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


def align(scores_BS: Tensor, memory_BSM: Tensor, is_token_BS: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weights [B, S] that sum to 1, none on padding, and the memory in that mixture [B, M]."""
    if is_token_BS is not None:
        scores_BS = scores_BS.masked_fill(~is_token_BS, -torch.inf)
    weights_BS = torch.softmax(scores_BS, dim=-1)
    return weights_BS, torch.einsum("bs,bsm->bm", weights_BS, memory_BSM)
