"""The multi-token prediction layer of Qwen 3.5 (DeepSeek-AI, "DeepSeek-V3 Technical Report", 2024, 2.2).

block(projection([embedding_norm(next token), hidden_norm(last hidden state)])), then norm and head.
No pass runs it: it is kept so that a conversion loses nothing.
"""

from __future__ import annotations

from torch import nn

from zeropoint.blueprint.spec import Block as Spec
from zeropoint.layers.norm import norm
from zeropoint.models.block import Block

__all__ = ["MultiTokenPrediction"]


class MultiTokenPrediction(nn.Module):
    """The parameters of `Blueprint.mtp`."""

    def __init__(self, spec: Spec, d_model: int) -> None:
        super().__init__()
        self.embedding_norm = norm(spec.norm, d_model)
        self.hidden_norm = norm(spec.norm, d_model)
        self.projection = nn.Linear(2 * d_model, d_model, bias=False)
        self.block = Block(spec, d_model)
        self.norm = norm(spec.norm, d_model)
