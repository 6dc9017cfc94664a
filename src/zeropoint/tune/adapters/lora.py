"""LoRA: add a product of two thin matrices to a frozen one (Hu et al., "LoRA", 2021).

    y = W x + s B A x,    A [r, in] random, B [out, r] zero at first,    s = alpha / r

Rank-stabilised LoRA has s = alpha / sqrt(r), with which high ranks learn as fast as low ones (Kalajdzievski,
2023). LoRA+ trains B with a higher learning rate than A (Hayou et al., 2024).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.errors import BadInput
from zeropoint.layers.dropout import Dropout
from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapted_linear import AdaptedLinear, LinearTargets, replace_linear
from zeropoint.tune.adapters import Adapter

__all__ = ["Lora", "LoraLinear"]

_REFUSED = ("rank_pattern", "alpha_pattern", "modules_to_save", "target_parameters", "lora_bias")


@dataclass(frozen=True)
class Lora(Adapter):
    """Low-rank updates of linear layers."""

    peft_type: ClassVar[str] = "LORA"
    peft_names: ClassVar[Mapping[str, str]] = {"lora_a": "lora_A.weight", "lora_b": "lora_B.weight"}
    is_dora: ClassVar[bool] = False

    rank: int = option(16, 1, 4096, "Rank of the update: columns of B, rows of A.")
    alpha: float = option(32.0, 0, None, "Scale of the update, divided by the rank.", is_open=True)
    dropout: float = option(0.0, 0, 1, "Dropout on the adapter's input.", is_open_above=True)
    targets: LinearTargets = ("all",)
    is_rank_stabilised: bool = False  # divide by the root of the rank instead
    b_rate_ratio: float = option(1.0, 0, None, "LoRA+: learning rate of B, relative to A's.", is_open=True)

    @property
    def scale(self) -> float:
        """What the update is multiplied by."""
        return self.alpha / (math.sqrt(self.rank) if self.is_rank_stabilised else self.rank)

    def add_to(self, model: Decoder) -> None:
        """Replace the targets by `LoraLinear`."""
        replace_linear(model, self.targets, lambda name, base: LoraLinear(base, self))

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """B in a group of its own, with its own learning rate (LoRA+)."""
        trained = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
        others = [p for name, p in trained if not name.endswith(".lora_b")]
        bs = [p for name, p in trained if name.endswith(".lora_b")]
        return [
            {"params": others, "lr": learning_rate},
            {"params": bs, "lr": learning_rate * self.b_rate_ratio},
        ]

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The fields of peft's `LoraConfig`."""
        return {
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": self.dropout,
            "use_rslora": self.is_rank_stabilised,
            "use_dora": self.is_dora,
            "bias": "none",
            "fan_in_fan_out": False,
            "target_modules": sorted(modules),
        }

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of a `LoraConfig`. Raises BadInput for what it does beyond LoRA and DoRA."""
        for key in _REFUSED:
            if config.get(key):
                raise BadInput(f"adapter_config.json: `{key}` is not supported; train the adapter without it")
        if config.get("bias", "none") != "none":
            raise BadInput('adapter_config.json: `bias` must be "none"; merge the adapter with peft instead')
        return cls(
            rank=int(config["r"]),
            alpha=float(config["lora_alpha"]),
            dropout=float(config.get("lora_dropout", 0.0)),
            targets=tuple(modules),
            is_rank_stabilised=bool(config.get("use_rslora", False)),
        )


class LoraLinear(AdaptedLinear):
    """A linear layer and its low-rank update."""

    def __init__(self, base: nn.Linear, spec: Lora) -> None:
        super().__init__(base)
        self.scale, self.dropout = spec.scale, Dropout(spec.dropout)
        self.lora_a = nn.Parameter(base.weight.new_empty(spec.rank, base.in_features))
        self.lora_b = nn.Parameter(base.weight.new_zeros(base.out_features, spec.rank))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # what nn.Linear draws for a matrix

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        y = F.linear(x, self.weight, self.bias)
        return y if self.is_merged else y + self.update(x)

    def update(self, x: Tensor) -> Tensor:
        """s B A x: [..., out]."""
        return F.linear(F.linear(self.dropout(x), self.lora_a), self.lora_b) * self.scale

    def merged_weight(self) -> Tensor:
        """W + s B A."""
        return self.weight + self.scale * (self.lora_b @ self.lora_a)
