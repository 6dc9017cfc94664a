"""IA3: rescale keys, values and hidden units by trained vectors (Liu et al., "Few-Shot Parameter-Efficient
Fine-Tuning is Better and Cheaper than In-Context Learning", 2022).

    key = l_k * (W_k x),    value = l_v * (W_v x),    ffn = W_down (l_ff * hidden),    all 1 at first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.models.decoder import Decoder
from zeropoint.tune.adapted_linear import AdaptedLinear, LinearTargets, replace_linear
from zeropoint.tune.adapters import Adapter

__all__ = ["Ia3", "Ia3Linear"]

_INPUT_SIDE = ("down",)  # layers whose input is scaled, not their output


@dataclass(frozen=True)
class Ia3(Adapter):
    """Trained scales; a tenth of a percent of LoRA's memory."""

    peft_type: ClassVar[str] = "IA3"
    peft_names: ClassVar[Mapping[str, str]] = {"ia3": "ia3_l"}

    targets: LinearTargets = ("attention.key", "attention.value", "ffn.down")

    def add_to(self, model: Decoder) -> None:
        """Replace the targets by `Ia3Linear`."""
        replace_linear(model, self.targets, lambda n, b: Ia3Linear(b, n.rpartition(".")[2] in _INPUT_SIDE))

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The fields of peft's `IA3Config`."""
        named = sorted(modules)
        inputs = [name for name in named if name.rpartition(".")[2] in ("down_proj", "fc2", "down")]
        return {"target_modules": named, "feedforward_modules": inputs, "fan_in_fan_out": False}

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of an `IA3Config`."""
        return cls(targets=tuple(modules))


class Ia3Linear(AdaptedLinear):
    """A linear layer with scaled inputs or outputs. ia3: [1, in] or [out, 1], as peft stores it."""

    def __init__(self, base: nn.Linear, scales_input: bool) -> None:
        super().__init__(base)
        self.scales_input = scales_input
        shape = (1, base.in_features) if scales_input else (base.out_features, 1)
        self.ia3 = nn.Parameter(torch.ones(shape, device=base.weight.device, dtype=base.weight.dtype))

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        if self.is_merged:
            return F.linear(x, self.weight, self.bias)
        if self.scales_input:
            return F.linear(x * self.ia3[0], self.weight, self.bias)
        y = F.linear(x, self.weight) * self.ia3[:, 0]
        # peft scales the bias too; to keep one meaning, so does this.
        return y if self.bias is None else y + self.bias * self.ia3[:, 0]

    def merged_weight(self) -> Tensor:
        """The matrix with scaled columns or rows. Raises BadInput for scaled rows with a bias."""
        if self.bias is not None and not self.scales_input:
            return super().merged_weight()
        return self.weight * self.ia3
