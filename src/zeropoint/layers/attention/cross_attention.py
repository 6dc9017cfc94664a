"""Cross-attention: tokens of the answer attend to the encoder's output (Vaswani et al., 2017, section 3.2.3).

Queries come from the decoder, keys and values from the encoder's output. Those stay the same for a whole
answer, so `keys_values` computes them once.
"""

from __future__ import annotations

from torch import Tensor

from zeropoint.layers.attention.projections import Projections
from zeropoint.layers.attention.scaled_dot_product import (
    join_heads,
    repeat_heads,
    scaled_dot_product_attention,
    split_heads,
)
from zeropoint.layers.cache import KeysValues
from zeropoint.layers.taps import record

__all__ = ["CrossAttention"]


class CrossAttention(Projections):
    """output = W_o attention(W_q x, W_k memory, W_v memory); no positions, and only padding is masked."""

    def keys_values(self, memory_BSD: Tensor) -> KeysValues:
        """Keys and values of the encoder's output: [B, N, S, K] each."""
        k_BNSK = split_heads(self.key(memory_BSD), self.spec.n_kv_heads)
        v_BNSK = split_heads(self.value(memory_BSD), self.spec.n_kv_heads)
        record(self.taps, key=k_BNSK, value=v_BNSK)
        return self.key_norm(k_BNSK), v_BNSK

    def forward(self, x_BTD: Tensor, memory: KeysValues, padding_mask_BS: Tensor | None = None) -> Tensor:
        """The attention output [B, T, D]. padding_mask_BS: False for padding of the source."""
        spec, (k_BNSK, v_BNSK) = self.spec, memory
        q_BHTK = split_heads(self.query(x_BTD), spec.n_heads)
        record(self.taps, query=q_BHTK)
        context_BHTK = scaled_dot_product_attention(
            self.query_norm(q_BHTK),
            repeat_heads(k_BNSK, spec.n_heads),
            repeat_heads(v_BNSK, spec.n_heads),
            None if padding_mask_BS is None else padding_mask_BS[:, None, None, :],
            scale=spec.score_scale,
            softcap=spec.softcap,
            sink_H=None if self.sink is None else self.sink.weight,
            dropout=self.dropout.active_p,
            taps=self.taps,
        )
        output_BTD: Tensor = self.output(join_heads(context_BHTK))
        record(self.taps, context=context_BHTK, output=output_BTD)
        return output_BTD
