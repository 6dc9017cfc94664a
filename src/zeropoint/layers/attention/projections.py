"""What every attention learns: four matrices, and the norms of queries and keys where there are any."""

from __future__ import annotations

from torch import nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.norm import norm

__all__ = ["Projections"]


class Projections(nn.Module):
    """query [H*K, D], key and value [N*K, D], output [D, H*K]; the base of self- and cross-attention."""

    def __init__(self, spec: Attention, d_model: int, dropout: float = 0.0) -> None:
        """dropout: of attention's weights, while training. Raises BadInput outside 0 to below 1."""
        super().__init__()
        self.spec = spec
        self.dropout = Dropout(dropout)
        has_bias = spec.bias in ("qkv", "all")
        self.query = nn.Linear(d_model, spec.d_query, bias=has_bias)
        self.key = nn.Linear(d_model, spec.d_kv, bias=has_bias)
        self.value = nn.Linear(d_model, spec.d_kv, bias=has_bias)
        self.output = nn.Linear(spec.d_query, d_model, bias=spec.bias in ("output", "all"))
        self.query_norm = norm(spec.query_key_norm, spec.d_head) if spec.query_key_norm else None
        self.key_norm = norm(spec.query_key_norm, spec.d_head) if spec.query_key_norm else None
