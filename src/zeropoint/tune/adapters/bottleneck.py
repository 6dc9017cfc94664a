"""Bottleneck adapters: a small network after each sublayer (Houlsby et al., "Parameter-Efficient Transfer
Learning for NLP", 2019).

    y = f(x) + up(gelu(down(f(x)))),    up is zero at first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapted_linear import AdaptedLinear, LinearTargets, replace_linear
from zeropoint.tune.adapters import Adapter

__all__ = ["Bottleneck", "BottleneckLinear"]


@dataclass(frozen=True)
class Bottleneck(Adapter):
    """Networks of `width` hidden units after attention and after the feed-forward network."""

    can_merge: ClassVar[bool] = False

    width: int = option(16, 1, 65536, "Hidden units of each network.")
    targets: LinearTargets = ("attention.output", "ffn.down")

    def add_to(self, model: Decoder) -> None:
        """Replace the targets by `BottleneckLinear`."""
        replace_linear(model, self.targets, lambda name, base: BottleneckLinear(base, self.width))

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """Our own fields: peft has no such adapter."""
        return asdict(self) | {"targets": list(self.targets)}

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of our own fields."""
        return cls(int(config["width"]), tuple(config["targets"]))


class BottleneckLinear(AdaptedLinear):
    """A linear layer, and a small network that reads its output. Not a matrix, so it cannot be merged."""

    def __init__(self, base: nn.Linear, width: int) -> None:
        super().__init__(base)
        self.bottleneck_down = nn.Linear(base.out_features, width).to(base.weight)
        self.bottleneck_up = nn.Linear(width, base.out_features).to(base.weight)
        nn.init.zeros_(self.bottleneck_up.weight)
        nn.init.zeros_(self.bottleneck_up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        y = F.linear(x, self.weight, self.bias)
        added: Tensor = self.bottleneck_up(F.gelu(self.bottleneck_down(y)))
        return y + added
