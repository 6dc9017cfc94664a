"""The parameters of attention: four projection matrices, and optional norms of queries and keys."""

from __future__ import annotations

from torch import nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.rules import attention_rules
from zeropoint.errors import BadInput
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.norm import norm
from zeropoint.layers.taps import Tapped

__all__ = ["Projections"]


class Projections(Tapped):
    """query [H*K, D], key and value [N*K, D], output [D, H*K]; base class of self- and cross-attention."""

    def __init__(self, spec: Attention, d_model: int, dropout: float = 0.0) -> None:
        """dropout: of the attention weights, while training.

        Raises BadInput for a spec that breaks a rule, such as head counts that do not divide, or a rotary
        width that is odd or larger than a head.
        """
        super().__init__()
        if problems := list(attention_rules("attention", spec)):
            raise BadInput("; ".join(problems))
        self.spec = spec
        self.dropout = Dropout(dropout)
        has_bias = spec.bias in ("qkv", "all")
        self.query = nn.Linear(d_model, spec.d_query, bias=has_bias)
        self.key = nn.Linear(d_model, spec.d_kv, bias=has_bias)
        self.value = nn.Linear(d_model, spec.d_kv, bias=has_bias)
        self.output = nn.Linear(spec.d_query, d_model, bias=spec.bias in ("output", "all"))
        # Identity unless the spec normalizes queries and keys (Qwen 3).
        self.query_norm = norm(spec.query_key_norm, spec.d_head)
        self.key_norm = norm(spec.query_key_norm, spec.d_head)
