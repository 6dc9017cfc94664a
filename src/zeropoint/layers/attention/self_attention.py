"""Self-attention: tokens of one sequence look at each other (Vaswani et al., 2017, section 3.2.2).

output( attention( query(x), key(x), value(x) ) )
"""

from __future__ import annotations

from torch import Tensor

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.layers.attention.projections import Projections
from zeropoint.layers.attention.scaled_dot_product import attend, join_heads, repeat_heads, split_heads
from zeropoint.layers.cache import LayerCache
from zeropoint.layers.mask import attention_mask
from zeropoint.layers.position import maker
from zeropoint.layers.taps import See, show
from zeropoint.layers.token_positions import Place

__all__ = ["SelfAttention"]


class SelfAttention(Projections):
    """Multi-head, grouped-query or multi-query attention, causal or not, as the spec says."""

    def __init__(self, spec: Attention, d_model: int, dropout: float = 0.0) -> None:
        super().__init__(spec, d_model, dropout)
        turning, bias = maker(spec.position, "turning"), maker(spec.position, "bias")
        self.rotation = turning(spec.position) if turning else None
        self.bias = bias(spec.position, spec.n_heads) if bias else None

    def forward(
        self,
        x_BTD: Tensor,
        place: Place,
        cache: LayerCache | None = None,
        bias_HTS: Tensor | None = None,
        see: See | None = None,
    ) -> Tensor:
        """What each token gathers: [B, T, D].

        cache: keys and values of earlier tokens; those of x are appended.
        bias_HTS: added to the scores, from a table that all layers share (T5).
        """
        spec = self.spec
        q_BHTK = show(see, "query", split_heads(self.query(x_BTD), spec.n_heads))
        k_BNTK = show(see, "key", split_heads(self.key(x_BTD), spec.n_kv_heads))
        v_BNTK = show(see, "value", split_heads(self.value(x_BTD), spec.n_kv_heads))
        if self.query_norm is not None and self.key_norm is not None:
            q_BHTK = show(see, "query_norm", self.query_norm(q_BHTK))
            k_BNTK = show(see, "key_norm", self.key_norm(k_BNTK))
        if self.rotation is not None:
            q_BHTK = show(see, "query_rotated", self.rotation(q_BHTK, place.positions_BT, place.n_positions))
            k_BNTK = show(see, "key_rotated", self.rotation(k_BNTK, place.positions_BT, place.n_positions))
        k_BNSK, v_BNSK = (k_BNTK, v_BNTK) if cache is None else cache.extend(k_BNTK, v_BNTK)
        n_queries, n_keys = q_BHTK.shape[2], k_BNSK.shape[2]
        is_plain = self.is_plain(n_queries, n_keys, place, bias_HTS)
        mix_BHTK = attend(
            q_BHTK,
            repeat_heads(k_BNSK, spec.n_heads),
            repeat_heads(v_BNSK, spec.n_heads),
            None if is_plain else self.mask(n_queries, n_keys, place, bias_HTS),
            scale=spec.score_scale,
            is_causal=is_plain,
            softcap=spec.softcap,
            dropout=self.dropout.now,
            see=see,
        )
        return show(see, "output", self.output(join_heads(mix_BHTK)))

    def is_plain(self, n_queries: int, n_keys: int, place: Place, bias_HTS: Tensor | None) -> bool:
        """Whether a token sees itself and all before it, and nothing is added to any score."""
        spec = self.spec
        is_biased = bias_HTS is not None or self.bias is not None
        is_cut = spec.window is not None and spec.window < n_keys
        is_cut = is_cut or place.is_token_BS is not None or place.document_BT is not None
        return spec.is_causal and 1 < n_queries == n_keys and not (is_biased or is_cut)

    def mask(self, n_queries: int, n_keys: int, place: Place, bias_HTS: Tensor | None) -> Tensor | None:
        """What is added to the scores: who sees whom, and a bias by distance: [B or 1, H or 1, T, S]."""
        spec, device = self.spec, self.query.weight.device
        if self.bias is not None:
            bias_HTS = self.bias(n_queries, n_keys, device)
        return attention_mask(
            n_queries,
            n_keys,
            is_causal=spec.is_causal,
            window=spec.window,
            is_token_BS=place.is_token_BS,
            document_BT=place.document_BT,
            bias_HTS=bias_HTS,
            device=device,
        )
