"""Adapters, one per file: what is added to a model, and which of its weights are trained.

`Adapter` below is the contract. Those that change matrices (`lora`, `dora`, `ia3`, `bottleneck`) replace
linear layers; those that add virtual tokens (`prompt`, `p_tuning`, `prefix`) change the input; `freeze` adds
nothing. Parameters of the model keep their names, so its weights are found as before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import torch
from torch import nn

from zeropoint.models.decoder import Decoder

__all__ = ["Adapter"]


class Adapter(ABC):
    """Subclasses are frozen dataclasses with `option` fields.

    peft_type: the adapter's name in peft's `adapter_config.json`; "" if peft has no such adapter.
    can_merge: it can become part of the model's weights. can_pack: several texts may share a row.
    peft_names: what our parameters (the last part of their names) are called in peft's files.
    """

    peft_type: ClassVar[str] = ""
    can_merge: ClassVar[bool] = True
    can_pack: ClassVar[bool] = True
    peft_names: ClassVar[Mapping[str, str]] = {}

    def attach(self, model: Decoder, seed: int = 0) -> None:
        """Freeze the model, add the adapter's weights and train only these.

        seed: of their initial values. Raises BadInput for a model that the adapter does not fit.
        """
        model.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            self.add_to(model)

    @abstractmethod
    def add_to(self, model: Decoder) -> None:
        """Add the weights to a frozen model, drawing from torch's default generator."""

    def parameter_groups(self, model: nn.Module, learning_rate: float) -> list[dict[str, Any]]:
        """Groups for a torch optimizer: the trained parameters and their learning rates."""
        return [{"params": [p for p in model.parameters() if p.requires_grad], "lr": learning_rate}]

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The adapter's part of `adapter_config.json`. modules: the adapted ones, by Hugging Face's names."""
        return {}

    @classmethod
    def from_peft(cls, config: Mapping[str, Any], modules: Iterable[str]) -> Self:
        """The adapter of a configuration. modules: the adapted ones, by our names. Raises BadInput."""
        return cls()
