"""The first models of Karpathy's "Let's build GPT": what a transformer is before it has residuals.

A table of which character follows which; then an embedding whose tokens look at each other once; then think
once. From there on residuals and norms make it a model that a blueprint describes.
"""

from __future__ import annotations

from torch import Tensor, nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.layers.attention.self_attention import SelfAttention
from zeropoint.layers.token_positions import place

__all__ = ["Bigram", "Chain", "Heads"]


class Bigram(nn.Module):
    """The logits of what follows a token are that token's row of a table [V, V]."""

    def __init__(self, n_vocab: int) -> None:
        super().__init__()
        self.table = nn.Embedding(n_vocab, n_vocab)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits [B, T, V]."""
        logits_BTV: Tensor = self.table(ids_BT)
        return logits_BTV


class Heads(SelfAttention):
    """Self-attention whose heads lie side by side and are the output: no matrix brings them together yet."""

    def __init__(self, spec: Attention, d_model: int) -> None:
        super().__init__(spec, d_model)
        self.register_module("output", nn.Identity())


class Chain(nn.Module):
    """head(thought(heads(embedding))): each part's output is all that the next one gets, nothing is added."""

    def __init__(
        self, n_vocab: int, n_ctx: int, d_model: int, attention: Attention, thought: nn.Module | None = None
    ) -> None:
        """thought: what each token does by itself with what it gathered; None for nothing."""
        super().__init__()
        self.token = nn.Embedding(n_vocab, d_model)
        self.position = nn.Embedding(n_ctx, d_model)
        self.heads = Heads(attention, d_model)
        self.thought = thought
        self.head = nn.Linear(d_model, n_vocab)

    def forward(self, ids_BT: Tensor) -> Tensor:
        """Logits [B, T, V]."""
        where = place(ids_BT, None, None)
        x_BTD: Tensor = self.heads(self.token(ids_BT) + self.position(where.positions_BT), where)
        if self.thought is not None:
            x_BTD = self.thought(x_BTD)
        logits_BTV: Tensor = self.head(x_BTD)
        return logits_BTV
