"""From the residual stream to logits: how well each token of the vocabulary would follow."""

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
from zeropoint.layers.taps import See, show

__all__ = ["Head"]


class Head(nn.Module):
    """logits = matrix (scale * x) + bias.

    matrix: the embedding's where the two are tied (Press and Wolf, "Using the Output Embedding", 2017).
    BERT's head first passes x through a dense layer, the blocks' activation and their norm.
    """

    def __init__(self, spec: Spec, n_vocab: int, d_model: int, block: Block) -> None:
        """block: whose activation and norm a transform takes on."""
        super().__init__()
        self.spec = spec
        self.transform: nn.Linear | None = None
        if spec.has_transform:
            if not isinstance(block.ffn, MLP | Gated):
                raise BadInput(
                    "head.has_transform takes on the activation of an MLP, and the blocks have none"
                )
            self.transform = nn.Linear(d_model, d_model)
            self.activation = ACTIVATIONS[block.ffn.activation]
            self.norm = norm(block.norm, d_model)
        self.weight = None if spec.is_tied else nn.Parameter(torch.randn(n_vocab, d_model) * d_model**-0.5)
        self.bias = nn.Parameter(torch.zeros(n_vocab)) if spec.has_bias else None

    def forward(self, x_BTD: Tensor, embedding_VD: Tensor, see: See | None = None) -> Tensor:
        """Logits [B, T, V]. embedding_VD: the embedding's matrix, used where the head has none of its own."""
        if self.transform is not None:
            x_BTD = show(see, "transform", self.activation(self.transform(x_BTD)))
            x_BTD = show(see, "norm", self.norm(x_BTD))
        matrix_VD = embedding_VD if self.weight is None else self.weight
        logits_BTV = F.linear(self.spec.scale * x_BTD, matrix_VD, self.bias)
        if self.spec.softcap is not None:
            logits_BTV = softcapped(logits_BTV, self.spec.softcap)
        return show(see, "output", logits_BTV)
