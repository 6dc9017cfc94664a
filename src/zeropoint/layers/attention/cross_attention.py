"""Cross-attention: tokens of an answer look at those of a source (Vaswani et al., 2017, section 3.2.3).

Queries come from the decoder, keys and values from the encoder's output, which stays the same for a whole
answer: `keys_values` is computed once.
"""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.attention.projections import Projections
from zeropoint.layers.attention.scaled_dot_product import attend, join_heads, repeat_heads, split_heads
from zeropoint.layers.cache import KeysValues
from zeropoint.layers.mask import additive
from zeropoint.layers.taps import See, show

__all__ = ["CrossAttention"]


class CrossAttention(Projections):
    """output( attention( query(x), key(memory), value(memory) ) ): no mask but for padding, no positions."""

    def keys_values(self, memory_BSD: Tensor, see: See | None = None) -> KeysValues:
        """Keys and values of the encoder's output: [B, N, S, K] each."""
        k_BNSK = show(see, "key", split_heads(self.key(memory_BSD), self.spec.n_kv_heads))
        v_BNSK = show(see, "value", split_heads(self.value(memory_BSD), self.spec.n_kv_heads))
        if self.key_norm is not None:
            k_BNSK = show(see, "key_norm", self.key_norm(k_BNSK))
        return k_BNSK, v_BNSK

    def forward(
        self, x_BTD: Tensor, memory: KeysValues, is_token_BS: Tensor | None = None, see: See | None = None
    ) -> Tensor:
        """What each token gathers from the source: [B, T, D]. is_token_BS: false for the source's padding."""
        spec, (k_BNSK, v_BNSK) = self.spec, memory
        q_BHTK = show(see, "query", split_heads(self.query(x_BTD), spec.n_heads))
        if self.query_norm is not None:
            q_BHTK = show(see, "query_norm", self.query_norm(q_BHTK))
        mix_BHTK = attend(
            q_BHTK,
            repeat_heads(k_BNSK, spec.n_heads),
            repeat_heads(v_BNSK, spec.n_heads),
            None if is_token_BS is None else additive(is_token_BS[:, None, None, :]),
            scale=spec.score_scale,
            softcap=spec.softcap,
            dropout=self.dropout.now,
            see=see,
        )
        return show(see, "output", self.output(join_heads(mix_BHTK)))
