"""The original encoder-decoder Transformer. It has no published checkpoint, so it exists only as a blueprint.

Vaswani et al., "Attention Is All You Need", 2017, section 3 and table 3.
"""

from __future__ import annotations

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Sinusoidal

__all__ = ["transformer"]


def transformer(
    n_vocab: int, n_layers: int = 6, d_model: int = 512, d_ff: int = 2048, n_heads: int = 8, n_ctx: int = 5000
) -> Blueprint:
    """The base model by default; `d_model=1024, d_ff=4096, n_heads=16` gives the big model.

    One vocabulary for both languages, whose embedding is tied to the head (section 3.4); post-norm;
    projections without biases, as in the formulas of section 3.2.2.
    """
    norm = LayerNorm(1e-6)
    causal = Attention(n_heads, n_heads, d_model // n_heads)
    bidirectional = Attention(n_heads, n_heads, d_model // n_heads, is_causal=False)
    ffn = MLP(d_ff, "relu")
    return Blueprint(
        family="transformer",
        d_model=d_model,
        n_vocab=n_vocab,
        n_ctx=n_ctx,
        blocks=(Block(causal, ffn, norm, "post", cross_attention=bidirectional),) * n_layers,
        final_norm=None,
        embedding=Embedding(Sinusoidal(n_ctx), scale=d_model**0.5),
        head=Head(is_tied=True),
        encoder=(Block(bidirectional, ffn, norm, "post"),) * n_layers,
    )
