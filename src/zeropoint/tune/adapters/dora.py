"""DoRA: LoRA for the direction of each row, and a trained length (Liu et al., "DoRA", 2024).

    W' = m (W + s B A) / |W + s B A|,    the norm of each row; m [out] is that of W at first

As in the paper (section 4.3), the norm counts as a constant in the backward pass, which saves memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.models.decoder import Decoder
from zeropoint.tune.adapted_linear import replace_linear
from zeropoint.tune.adapters.lora import Lora, LoraLinear

__all__ = ["Dora", "DoraLinear"]


@dataclass(frozen=True)
class Dora(Lora):
    """Low-rank updates of directions, and trained magnitudes."""

    peft_names: ClassVar[Mapping[str, str]] = {**Lora.peft_names, "magnitude": "lora_magnitude_vector"}
    is_dora: ClassVar[bool] = True

    def add_to(self, model: Decoder) -> None:
        """Replace the targets by `DoraLinear`."""
        replace_linear(model, self.targets, lambda name, base: DoraLinear(base, self))


class DoraLinear(LoraLinear):
    """A linear layer whose rows have trained lengths and low-rank updates."""

    def __init__(self, base: nn.Linear, spec: Lora) -> None:
        super().__init__(base, spec)
        self.magnitude = nn.Parameter(base.weight.detach().norm(dim=1))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        if self.is_merged:
            return F.linear(x, self.weight, self.bias)
        x = self.dropout(x)  # once: both products must see the same elements
        y = F.linear(x, self.weight) + F.linear(F.linear(x, self.lora_a), self.lora_b) * self.scale
        y = y * self.row_scale()
        return y if self.bias is None else y + self.bias

    def row_scale(self) -> Tensor:
        """m / |W + s B A|: [out]."""
        norm: Tensor = (self.weight + self.scale * (self.lora_b @ self.lora_a)).detach().norm(dim=1)
        return self.magnitude / norm.clamp(min=1e-12)

    def merged_weight(self) -> Tensor:
        """The rows of W + s B A at their trained lengths."""
        return super().merged_weight() * self.row_scale()[:, None]
