"""Layer freezing: train the last blocks and leave the others (Howard and Ruder, "ULMFiT", 2018).

With all blocks and the embedding this is full fine-tuning.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from zeropoint.errors import BadInput
from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapters import Adapter

__all__ = ["Freeze"]


@dataclass(frozen=True)
class Freeze(Adapter):
    """Train the last `n_trained` blocks, the final norm, and what else is chosen; -1: everything."""

    n_trained: int = option(1, -1, 100_000, "Number of blocks to train, from the last; -1: the whole model.")
    trains_embedding: bool = False  # and the head, where the two are tied

    def add_to(self, model: Decoder) -> None:
        """Unfreeze the chosen weights; nothing is added. Raises BadInput for more blocks than there are."""
        n_layers = len(model.blocks)
        if self.n_trained > n_layers:
            raise BadInput(f"n_trained is {self.n_trained}; the model has {n_layers} blocks")
        if self.n_trained == -1:
            model.requires_grad_(True)
            return
        for i in range(n_layers - self.n_trained, n_layers):
            model.blocks[i].requires_grad_(True)
        if model.final_norm is not None:
            model.final_norm.requires_grad_(True)
        if self.trains_embedding:
            model.embedding.requires_grad_(True)

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """Our own fields: peft has no such adapter."""
        return asdict(self)

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of our own fields."""
        return cls(int(config["n_trained"]), bool(config["trains_embedding"]))
