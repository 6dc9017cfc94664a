"""The model of Karpathy's lecture as a blueprint."""

from __future__ import annotations

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Learned

__all__ = ["lecture_blueprint"]


def lecture_blueprint(d_model: int = 384, n_layers: int = 6, n_heads: int = 6, n_ctx: int = 256) -> Blueprint:
    """Query, key and value without bias, everything else with one, a head of its own, relu."""
    attention = Attention(n_heads, n_heads, d_model // n_heads, bias="output")
    norm = LayerNorm(1e-5)
    return Blueprint(
        family="zeropoint",
        d_model=d_model,
        n_vocab=65,
        n_ctx=n_ctx,
        blocks=(Block(attention, MLP(4 * d_model, "relu"), norm),) * n_layers,
        final_norm=norm,
        embedding=Embedding(Learned(n_ctx)),
        head=Head(is_tied=False, has_bias=True),
    )
