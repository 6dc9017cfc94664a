"""The gated recurrent unit (Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014).

    r = sigmoid(R x + R' h)            how much of the state the proposal may read
    z = sigmoid(Z x + Z' h)            how much of the state stays
    n = tanh(N x + r * (N' h))         the proposal
    h = (1 - z) n + z h

The second form of the paper's first version (r after N'), which torch and cuDNN compute too.
Axes beside the house's: C columns of the state, X columns of the input.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["GRU", "GRUCell"]


class GRUCell(nn.Module):
    """One step. Each matrix holds the rows of reset, update and proposal below one another, as in torch."""

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
        proposal_BC = torch.tanh(from_input[2] + reset_BC * from_state[2])
        return (1 - update_BC) * proposal_BC + update_BC * state_BC

    def start(self, n_batch: int) -> Tensor:
        """The state before the first token: zeros [B, C]."""
        return self.state.weight.new_zeros(n_batch, self.d_state)


class GRU(nn.Module):
    """The cell over a whole sequence, forwards or backwards."""

    def __init__(self, d_input: int, d_state: int, is_backward: bool = False) -> None:
        super().__init__()
        self.cell = GRUCell(d_input, d_state)
        self.is_backward = is_backward

    def forward(self, x_BTX: Tensor, is_token_BT: Tensor | None = None) -> Tensor:
        """The state after each token [B, T, C], in the tokens' order. Padding leaves the state as it is."""
        n_tokens = x_BTX.shape[1]
        order = range(n_tokens - 1, -1, -1) if self.is_backward else range(n_tokens)
        state_BC = self.cell.start(len(x_BTX))
        states: dict[int, Tensor] = {}
        for t in order:
            new_BC = self.cell(x_BTX[:, t], state_BC)
            state_BC = (
                new_BC if is_token_BT is None else torch.where(is_token_BT[:, t, None], new_BC, state_BC)
            )
            states[t] = state_BC
        return torch.stack([states[t] for t in range(n_tokens)], dim=1)
