"""Language-model head: turn the residual stream into logits, one per token of the vocabulary."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.spec import Block
from zeropoint.blueprint.spec import Head as Spec
from zeropoint.errors import BadInput
from zeropoint.layers.attention.scaled_dot_product import softcapped
from zeropoint.layers.ffn.activation import ACTIVATIONS
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import Tapped, record

__all__ = ["Head"]


class Head(Tapped):
    """logits = (scale * x) matrix^T + bias.

    matrix: the head's own, or the token embedding if the two are tied (Press and Wolf, "Using the Output
    Embedding", 2017). BERT's head first applies a dense layer, the blocks' activation and their norm.
    """

    def __init__(self, spec: Spec, n_vocab: int, d_model: int, block: Block | None = None) -> None:
        """block: provides activation and norm for a head with has_transform; raises BadInput without them."""
        super().__init__()
        self.spec = spec
        self.transform: nn.Linear | None = None
        if spec.has_transform:
            if block is None or not isinstance(block.ffn, MLP | Gated):
                raise BadInput(
                    "head.has_transform needs a block with an MLP or Gated ffn, whose activation it uses; "
                    "pass such a block, or set has_transform to False"
                )
            self.transform = nn.Linear(d_model, d_model)
            self.activation = ACTIVATIONS[block.ffn.activation]
            self.norm = norm(block.norm, d_model)
        self.weight = None if spec.is_tied else nn.Parameter(torch.randn(n_vocab, d_model) * d_model**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_vocab)) if spec.has_bias else None

    def forward(self, x_BTD: Tensor, embedding_VD: Tensor | None = None) -> Tensor:
        """Logits [B, T, V]. embedding_VD: the token embedding; a tied head raises BadInput without it."""
        matrix_VD = embedding_VD if self.weight is None else self.weight
        if matrix_VD is None:
            raise BadInput("this head is tied to the token embedding; pass its weight [V, D] too")
        if self.transform is not None:
            x_BTD = self.activation(self.transform(x_BTD))
            record(self.taps, transform=x_BTD)
            x_BTD = self.norm(x_BTD)
        logits_BTV = F.linear(self.spec.scale * x_BTD, matrix_VD, self.bias)
        return logits_BTV if self.spec.softcap is None else softcapped(logits_BTV, self.spec.softcap)
