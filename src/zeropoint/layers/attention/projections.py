"""The parameters of attention: four projection matrices, and optional norms and sink logits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.norm import RMSNorm as RMSNormSpec
from zeropoint.blueprint.rules import attention_rules
from zeropoint.errors import BadInput
from zeropoint.layers.attention.scaled_dot_product import join_heads, split_heads
from zeropoint.layers.dropout import Dropout
from zeropoint.layers.norm import RMSNorm, norm
from zeropoint.layers.taps import Tapped

__all__ = ["JointRMSNorm", "Projections", "Sink"]


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
        if spec.has_keys:
            self.key = nn.Linear(d_model, spec.d_kv, bias=has_bias)
            self.value = nn.Linear(d_model, spec.d_kv, bias=has_bias)
        self.output = nn.Linear(spec.d_query, d_model, bias=spec.bias in ("output", "all"))
        # Identity unless the spec normalizes queries and keys (Qwen 3).
        self.query_norm = head_norm(spec, spec.query_norm_width)
        if spec.has_keys:
            self.key_norm = head_norm(spec, spec.key_norm_width)
            self.value_norm = norm(spec.value_norm, spec.d_head)
        self.gate = nn.Linear(d_model, spec.d_query, bias=has_bias) if spec.has_output_gate else None
        self.sink = Sink(spec.n_heads) if spec.has_sink else None


class JointRMSNorm(RMSNorm):
    """RMSNorm over the columns of all heads together (OLMo 2)."""

    def forward(self, x_BHTK: Tensor) -> Tensor:
        """Same shape."""
        return split_heads(super().forward(join_heads(x_BHTK)), x_BHTK.shape[1])


class Sink(nn.Module):
    """A logit per head that competes with the scores in the softmax: `weight` [H] (gpt-oss)."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(n_heads))


def head_norm(spec: Attention, width: int) -> nn.Module:
    """The norm of query or key heads."""
    if spec.has_joint_query_key_norm and isinstance(spec.query_key_norm, RMSNormSpec):
        return JointRMSNorm(spec.query_key_norm, width)
    return norm(spec.query_key_norm, width)
