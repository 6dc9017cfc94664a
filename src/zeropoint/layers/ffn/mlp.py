"""The feed-forward network of the first transformers (Vaswani et al., 2017, section 3.3)."""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts import ffn as specs
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.taps import See, show

__all__ = ["MLP"]


class MLP(nn.Module):
    """down(activation(up(x)))."""

    def __init__(self, spec: specs.MLP, d_model: int) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[spec.activation]
        self.up = nn.Linear(d_model, spec.d_ff, bias=spec.has_bias)
        self.down = nn.Linear(spec.d_ff, d_model, bias=spec.has_bias)

    def forward(self, x_BTD: Tensor, see: See | None = None) -> Tensor:
        """Each token by itself: [B, T, D]."""
        up_BTF = show(see, "up", self.up(x_BTD))
        hidden_BTF = show(see, "hidden", self.activation(up_BTF))
        return show(see, "output", self.down(hidden_BTF))
