"""The models of Karpathy's "Let's build GPT" (2023), from a bigram table to the full transformer.

The first models have no residual connections: a bigram table, then self-attention, then a feed-forward layer
on top. With residual connections and norms the model becomes an ordinary decoder, described by a blueprint
(`lecture_blueprint`). `zeropoint ladder build-gpt` trains them all.
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Learned
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.token_positions import token_positions

__all__ = ["AttentionOnly", "Bigram", "ConcatenatedHeads", "lecture_blueprint"]


class Bigram(nn.Module):
    """Predict the next token from the current one alone: a table of logits [V, V]."""

    def __init__(self, n_vocab: int) -> None:
        super().__init__()
        self.table = nn.Embedding(n_vocab, n_vocab)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits [B, T, V]."""
        logits_BTV: Tensor = self.table(ids_BT)
        return logits_BTV


class ConcatenatedHeads(SelfAttention):
    """Self-attention without an output projection: the concatenated heads are the output."""

    def __init__(self, spec: Attention, d_model: int) -> None:
        super().__init__(spec, d_model)
        self.register_module("output", nn.Identity())


class AttentionOnly(nn.Module):
    """Embedding, attention heads, an optional feed-forward layer, output head; no residual connections."""

    def __init__(
        self,
        n_vocab: int,
        n_ctx: int,
        d_model: int,
        attention: Attention,
        feed_forward: nn.Module | None = None,
    ) -> None:
        """feed_forward: applied to each token after attention; None for none."""
        super().__init__()
        self.token = nn.Embedding(n_vocab, d_model)
        self.position = nn.Embedding(n_ctx, d_model)
        self.heads = ConcatenatedHeads(attention, d_model)
        self.feed_forward = feed_forward
        self.head = nn.Linear(d_model, n_vocab)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits [B, T, V]."""
        positions = token_positions(ids_BT)
        x_BTD: Tensor = self.heads(self.token(ids_BT) + self.position(positions.positions_BT), positions)
        if self.feed_forward is not None:
            x_BTD = self.feed_forward(x_BTD)
        logits_BTV: Tensor = self.head(x_BTD)
        return logits_BTV


def lecture_blueprint(d_model: int = 384, n_layers: int = 6, n_heads: int = 6, n_ctx: int = 256) -> Blueprint:
    """The full model: learned positions, pre-norm, ReLU, untied head, no bias on query, key and value."""
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
