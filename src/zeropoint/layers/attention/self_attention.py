"""Self-attention: each token attends to the tokens of its own sequence (Vaswani et al., 2017, section 3.2.2).

output = W_o attention(rotate(W_q x), rotate(W_k x), W_v x)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from zeropoint.blueprint.parts.attention import Attention, QueryScale
from zeropoint.layers.attention.projections import Projections
from zeropoint.layers.attention.scaled_dot_product import (
    join_heads,
    repeat_heads,
    scaled_dot_product_attention,
    split_heads,
)
from zeropoint.layers.cache import KeysValues, KeyValueCache
from zeropoint.layers.mask import attention_mask
from zeropoint.layers.position import Rotation, builder_for
from zeropoint.layers.taps import intervene, record
from zeropoint.layers.token_positions import TokenPositions, consecutive

__all__ = ["SelfAttention"]


class SelfAttention(Projections):
    """Multi-head, grouped-query or multi-query attention, causal or bidirectional, as the spec says."""

    def __init__(self, spec: Attention, d_model: int, dropout: float = 0.0) -> None:
        super().__init__(spec, d_model, dropout)
        build_rotary = builder_for(spec.position, "rotary")
        build_bias = builder_for(spec.position, "score_bias")
        self.rotary = build_rotary(spec.position) if build_rotary else None
        self.score_bias = build_bias(spec.position, spec.n_heads) if build_bias else None

    def forward(
        self,
        x_BTD: Tensor,
        positions: TokenPositions | None = None,
        cache: KeyValueCache | None = None,
        score_bias_HTS: Tensor | None = None,
        rotation: Rotation | None = None,
        borrowed: KeysValues | None = None,
        lend: Callable[[KeysValues], None] | None = None,
    ) -> Tensor:
        """The attention output [B, T, D].

        positions: by default consecutive, after those in the cache. cache: keys and values of earlier tokens;
        those of x are appended. score_bias_HTS: added to the scores, from a table that all layers share (T5).
        rotation: what `self.rotation(positions)` returns, if the caller computed it already. borrowed: keys
        and values of another block (`spec.source`), instead of its own. lend: called with those of all
        tokens.
        """
        spec = self.spec
        if positions is None:
            positions = consecutive(x_BTD.shape[1], 0 if cache is None else cache.n_tokens, x_BTD.device)

        q_BHTK = split_heads(self.query(x_BTD), spec.n_heads)
        record(self.taps, query=q_BHTK)
        q_BHTK = self.query_norm(q_BHTK)
        rotation = rotation or self.rotation(positions)
        if rotation is not None:
            q_BHTK = rotation(q_BHTK)
            record(self.taps, query_rotated=q_BHTK)
        if spec.query_scale is not None:
            q_BHTK = q_BHTK * growing_scale(spec.query_scale, positions.positions_BT)[:, None, :, None]

        if borrowed is None:
            k_BNTK, v_BNTK = self.keys_values(x_BTD, rotation)
            k_BNSK, v_BNSK = cache.extend(k_BNTK, v_BNTK) if cache is not None else (k_BNTK, v_BNTK)
        else:
            k_BNSK, v_BNSK = borrowed
        if lend is not None:
            lend((k_BNSK, v_BNSK))
        n_queries, n_keys = q_BHTK.shape[2], k_BNSK.shape[2]
        is_plain_causal = self.is_plain_causal(n_queries, n_keys, positions, score_bias_HTS)
        context_BHTK = scaled_dot_product_attention(
            q_BHTK,
            repeat_heads(k_BNSK, spec.n_heads),
            repeat_heads(v_BNSK, spec.n_heads),
            None if is_plain_causal else self.mask(n_queries, n_keys, positions, score_bias_HTS),
            scale=spec.score_scale,
            is_causal=is_plain_causal,
            softcap=spec.softcap,
            sink_H=None if self.sink is None else self.sink.weight,
            dropout=self.dropout.active_p,
            taps=self.taps,
        )
        context_BHTK = intervene(self.taps, "context", context_BHTK)
        output_BTD: Tensor = self.output(join_heads(self.gated(context_BHTK, x_BTD)))
        record(self.taps, output=output_BTD)
        return output_BTD

    def keys_values(self, x_BTD: Tensor, rotation: Rotation | None) -> KeysValues:
        """Keys and values of x, [B, N, T, K] each, normalized and rotated as the spec says."""
        n_kv_heads = self.spec.n_kv_heads
        k_BNTK, v_BNTK = split_heads(self.key(x_BTD), n_kv_heads), split_heads(self.value(x_BTD), n_kv_heads)
        record(self.taps, key=k_BNTK, value=v_BNTK)
        k_BNTK, v_BNTK = self.key_norm(k_BNTK), self.value_norm(v_BNTK)
        if rotation is not None:
            k_BNTK = rotation(k_BNTK)
            record(self.taps, key_rotated=k_BNTK)
        return k_BNTK, v_BNTK

    def gated(self, context_BHTK: Tensor, x_BTD: Tensor) -> Tensor:
        """The context times sigmoid(gate(x)), so that a token can refuse what its heads have read; unchanged
        without a gate.
        """
        if self.gate is None:
            return context_BHTK
        gate_BHTK = split_heads(self.gate(x_BTD), self.spec.n_heads)
        record(self.taps, gate=gate_BHTK)
        return context_BHTK * torch.sigmoid(gate_BHTK)

    def rotation(self, positions: TokenPositions) -> Rotation | None:
        """The rotation of queries and keys at these positions; None without rotary embeddings.

        It depends only on the spec, so layers with equal specs can share it.
        """
        if self.rotary is None:
            return None
        rotation: Rotation = self.rotary(positions.positions_BT, positions.n_positions)
        return rotation

    def is_plain_causal(
        self, n_queries: int, n_keys: int, positions: TokenPositions, score_bias_HTS: Tensor | None
    ) -> bool:
        """True if causality is all that masks the scores and nothing is added to them."""
        spec = self.spec
        has_bias = score_bias_HTS is not None or self.score_bias is not None
        has_window = spec.window is not None and spec.window < n_keys
        is_masked = positions.padding_mask_BS is not None or positions.document_BT is not None
        return spec.is_causal and 1 < n_queries == n_keys and not (has_bias or has_window or is_masked)

    def mask(
        self, n_queries: int, n_keys: int, positions: TokenPositions, score_bias_HTS: Tensor | None
    ) -> Tensor | None:
        """What to add to the scores: mask and distance-dependent bias, [B or 1, H or 1, T, S]."""
        spec, device = self.spec, self.query.weight.device
        if self.score_bias is not None:
            score_bias_HTS = self.score_bias(n_queries, n_keys, device)
        return attention_mask(
            n_queries,
            n_keys,
            is_causal=spec.is_causal,
            window=spec.window,
            padding_mask_BS=positions.padding_mask_BS,
            document_BT=positions.document_BT,
            score_bias_HTS=score_bias_HTS,
            device=device,
        )


def growing_scale(spec: QueryScale, positions_BT: Tensor) -> Tensor:
    """The factor of the queries at each position: [B, T]."""
    return 1 + spec.beta * torch.log1p(torch.floor(positions_BT / spec.n_positions))
