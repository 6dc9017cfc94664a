"""Scaled dot-product attention (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1).

    context = dropout(softmax(q k^T * scale + mask)) v

A head may have a sink logit that takes part in the softmax but has no value: the weights then sum to less
than 1, and a head can attend to nothing (gpt-oss, 2025; Miller, "Attention Is Off By One", 2023).

The dot product of a query with every key gives scores; softmax turns them into weights that sum to 1; the
context is the values averaged with these weights. There are two implementations: `naive_attention` computes
one step per line, and `sdpa` calls torch's fused kernel, which never stores the whole table of weights (Dao
et al., "FlashAttention", 2022). A test compares them.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zeropoint.layers.dropout import dropout as drop
from zeropoint.layers.fast.attention import is_sdpa_slow
from zeropoint.layers.mask import as_additive, attention_mask
from zeropoint.layers.taps import Taps, record

__all__ = [
    "join_heads",
    "naive_attention",
    "repeat_heads",
    "scaled_dot_product_attention",
    "sdpa",
    "softcapped",
    "softmax",
    "split_heads",
]


def naive_attention(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float,
    softcap: float | None = None,
    sink_H: Tensor | None = None,
    dropout: float = 0.0,
    taps: Taps | None = None,
) -> Tensor:
    """The context [B, H, T, K], one step per line. Records scores, capped, masked, weights.

    mask: [B or 1, H or 1, T, S]; boolean (True: may attend) or floating-point, added to the scores. sink_H:
    a logit per head without a value.
    """
    mask = as_additive(mask)
    scores_BHTS = q_BHTK @ k_BHSK.transpose(-2, -1) * scale
    capped_BHTS = scores_BHTS if softcap is None else softcapped(scores_BHTS, softcap)
    masked_BHTS = capped_BHTS if mask is None else capped_BHTS + mask
    weights_BHTS = softmax(masked_BHTS, sink_H).type_as(v_BHSK)
    context_BHTK = drop(weights_BHTS, dropout) @ v_BHSK
    record(taps, scores=scores_BHTS, capped=None if softcap is None else capped_BHTS)
    record(taps, masked=masked_BHTS, weights=weights_BHTS)
    return context_BHTK


def sdpa(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float,
    is_causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """The same context up to rounding, computed block by block in memory that does not grow with T * S.

    Dropout drops weights with the same probability as `naive_attention`, but draws different random numbers.
    """
    mask = as_additive(mask)
    mask = mask if mask is None else mask.type_as(q_BHTK)
    return F.scaled_dot_product_attention(
        q_BHTK, k_BHSK, v_BHSK, attn_mask=mask, dropout_p=dropout, scale=scale, is_causal=is_causal
    )


def scaled_dot_product_attention(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None = None,
    *,
    scale: float,
    is_causal: bool = False,
    softcap: float | None = None,
    sink_H: Tensor | None = None,
    dropout: float = 0.0,
    taps: Taps | None = None,
) -> Tensor:
    """The context [B, H, T, K] from whichever implementation is faster here (`fast/attention.py`).

    The fused kernel cannot report its steps to taps, cap scores or add a sink. mask, sink_H: as in
    `naive_attention`. is_causal: for T = S without a mask, attend to earlier tokens only; the fused kernel
    then skips half of the table.
    dropout: probability that a weight becomes 0; the others are divided by 1 - dropout.
    """
    is_plain = taps is None and softcap is None and sink_H is None
    if is_plain and not is_sdpa_slow(q_BHTK, k_BHSK, dropout):
        return sdpa(q_BHTK, k_BHSK, v_BHSK, mask, scale=scale, is_causal=is_causal, dropout=dropout)
    if is_causal:
        mask = attention_mask(q_BHTK.shape[2], k_BHSK.shape[2], is_causal=True, device=q_BHTK.device)
    return naive_attention(
        q_BHTK, k_BHSK, v_BHSK, mask, scale=scale, softcap=softcap, sink_H=sink_H, dropout=dropout, taps=taps
    )


def softmax(scores_BHTS: Tensor, sink_H: Tensor | None = None) -> Tensor:
    """Weights that sum to 1 with the weight of the sink, which is left out: [B, H, T, S]."""
    if sink_H is None:
        return torch.softmax(scores_BHTS, dim=-1)
    sink_BHT1 = sink_H[:, None, None].expand(*scores_BHTS.shape[:3], 1)
    return torch.softmax(torch.cat([scores_BHTS, sink_BHT1], dim=-1), dim=-1)[..., :-1]


def softcapped(scores: Tensor, cap: float) -> Tensor:
    """cap * tanh(scores / cap): bounded by the cap, but smooth everywhere (Gemma 2, 2024, section 2)."""
    return cap * torch.tanh(scores / cap)


def split_heads(x_BTC: Tensor, n_heads: int) -> Tensor:
    """[B, T, heads * K] -> [B, heads, T, K]."""
    n_batch, n_tokens, _ = x_BTC.shape
    return x_BTC.view(n_batch, n_tokens, n_heads, -1).transpose(1, 2)


def join_heads(x_BHTK: Tensor) -> Tensor:
    """[B, H, T, K] -> [B, T, H * K]: concatenate the heads."""
    return x_BHTK.transpose(1, 2).flatten(-2)


def repeat_heads(x_BNSK: Tensor, n_heads: int) -> Tensor:
    """[B, N, S, K] -> [B, H, S, K]: each key/value head serves H / N consecutive query heads.

    Grouped-query attention (Ainslie et al., 2023); with N = 1, multi-query attention (Shazeer, 2019).
    """
    n_groups = n_heads // x_BNSK.shape[1]
    return x_BNSK if n_groups == 1 else x_BNSK.repeat_interleave(n_groups, dim=1)
