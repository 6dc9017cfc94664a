"""P-tuning: a prompt that a small network computes while it is trained (Liu et al., "GPT Understands, Too",
2021).

    p = mlp(e),    e [P, D] trained

The network makes the vectors depend on each other, which eases training; afterwards only its output counts,
and that is what is stored: a stored P-tuning adapter is read as a prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from zeropoint.models.decoder import Decoder
from zeropoint.options import option
from zeropoint.tune.adapters import Adapter
from zeropoint.tune.adapters.prompt import attach_prompt, virtual_token_config

__all__ = ["PTuning", "PromptEncoder"]


@dataclass(frozen=True)
class PTuning(Adapter):
    """A prompt from a network of three layers."""

    peft_type: ClassVar[str] = "P_TUNING"
    can_merge: ClassVar[bool] = False
    can_pack: ClassVar[bool] = False
    peft_names: ClassVar[Mapping[str, str]] = {"prompt": "prompt_embeddings"}

    n_virtual: int = option(16, 1, 4096, "Virtual tokens before the text.")
    width: int = option(128, 1, 65536, "Hidden units of the network.")

    def add_to(self, model: Decoder) -> None:
        """Attach the network's output as the prompt."""
        attach_prompt(model, PromptEncoder(self.n_virtual, model.blueprint.d_model, self.width))

    def peft_config(self, model: Decoder, modules: Iterable[str]) -> dict[str, Any]:
        """The fields of peft's `PromptEncoderConfig`."""
        network = {"encoder_reparameterization_type": "MLP", "encoder_hidden_size": self.width}
        return virtual_token_config(model, self.n_virtual) | network


class PromptEncoder(nn.Module):
    """Embeddings of the virtual tokens, and the network that reads them."""

    def __init__(self, n_virtual: int, d_model: int, width: int) -> None:
        super().__init__()
        self.n_virtual = n_virtual
        self.embedding = nn.Parameter(torch.randn(n_virtual, d_model) * d_model**-0.5)
        self.network = nn.Sequential(
            nn.Linear(d_model, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, d_model),
        )

    def forward(self) -> Tensor:
        """The vectors [P, D]."""
        vectors_PD: Tensor = self.network(self.embedding)
        return vectors_PD
