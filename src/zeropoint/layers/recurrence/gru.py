"""The gated recurrent unit (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014).

    r = sigmoid(R x + R' h)            reset gate: how much of the state the candidate reads
    z = sigmoid(Z x + Z' h)            update gate: how much of the state remains
    n = tanh(N x + r * (N' h))         candidate state
    h = (1 - z) n + z h

This is the variant that applies r after N', as torch and cuDNN do.
Additional axes: C columns of the state, X columns of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GRU", "GRUCell"]


class GRUCell(nn.Module):
    """One step. Each matrix stacks the rows of reset, update and candidate, as in torch."""

    def __init__(self, d_input: int, d_state: int) -> None:
        super().__init__()
        self.d_state = d_state
        self.input = nn.Linear(d_input, 3 * d_state)
        self.state = nn.Linear(d_state, 3 * d_state)

    def forward(self, x_BX: Tensor, state_BC: Tensor) -> Tensor:
        """The next state [B, C]."""
        from_input = self.input(x_BX).chunk(3, dim=-1)
        from_state = self.state(state_BC).chunk(3, dim=-1)
        reset_BC = torch.sigmoid(from_input[0] + from_state[0])
        update_BC = torch.sigmoid(from_input[1] + from_state[1])
        candidate_BC = torch.tanh(from_input[2] + reset_BC * from_state[2])
        return (1 - update_BC) * candidate_BC + update_BC * state_BC

    def initial_state(self, n_batch: int) -> Tensor:
        """The state before the first token: zeros [B, C]."""
        return self.state.weight.new_zeros(n_batch, self.d_state)


class GRU(nn.Module):
    """The cell applied to a sequence, forwards or backwards."""

    def __init__(self, d_input: int, d_state: int, is_backward: bool = False) -> None:
        super().__init__()
        self.cell = GRUCell(d_input, d_state)
        self.is_backward = is_backward

    def forward(self, x_BTX: Tensor, padding_mask_BT: Tensor | None = None) -> Tensor:
        """The state after each token [B, T, C], in token order. Padding leaves the state unchanged."""
        n_tokens = x_BTX.shape[1]
        order = range(n_tokens - 1, -1, -1) if self.is_backward else range(n_tokens)
        state_BC = self.cell.initial_state(len(x_BTX))
        states: dict[int, Tensor] = {}
        for t in order:
            next_BC = self.cell(x_BTX[:, t], state_BC)
            if padding_mask_BT is not None:
                next_BC = torch.where(padding_mask_BT[:, t, None], next_BC, state_BC)
            states[t] = state_BC = next_BC
        return torch.stack([states[t] for t in range(n_tokens)], dim=1)
