"""Scaled dot-product attention (Vaswani et al., "Attention Is All You Need", 2017, section 3.2.1).

    mix = dropout(softmax(q k^T * scale + mask)) v

Each query is compared with every key; the comparisons become weights that sum to 1, of which some may be lost
by chance while a model learns; the answer is the values in that mixture. Twice: `written_out`, where every
step can be seen, and `fused`, one call of torch that never holds the whole table of weights (Dao et al.,
"FlashAttention", 2022). A test holds them equal.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from zeropoint.layers.dropout import dropped
from zeropoint.layers.mask import attention_mask
from zeropoint.layers.taps import See, show

__all__ = ["attend", "fused", "join_heads", "repeat_heads", "softcapped", "split_heads", "written_out"]

# Until here the table of weights fits the processor's memory and costs less than fused's backward pass, which
# makes many small products: forward and backward in bfloat16 on two cores of an AMD EPYC (Zen 4), torch 2.13,
# take 2.1 against 24 ms at [80, 8, 10, 64], 8 against 25 at [16, 6, 128, 64], but 271 against 199 at
# [64, 6, 256, 64].
_FEW_KEYS = 128


def attend(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None,
    *,
    scale: float,
    is_causal: bool = False,
    softcap: float | None = None,
    dropout: float = 0.0,
    see: See | None = None,
) -> Tensor:
    """The mix [B, H, T, K]: fused where that can be and is faster, else written out.

    It cannot where somebody looks or scores are capped, and is not where a CPU learns from few keys, or drops
    weights, for which its fused form holds the whole table too.
    mask: added to the scores, [B or 1, H or 1, T, S]; None for nothing. is_causal, with T = S and no mask: a
    token sees itself and what came before it, which fused does without a table, and without its upper half.
    dropout: probability that a weight is lost; the others are divided by 1 - dropout.
    """
    if see is None and softcap is None and not _is_slow_fused(q_BHTK, k_BHSK, dropout):
        return fused(q_BHTK, k_BHSK, v_BHSK, mask, scale=scale, is_causal=is_causal, dropout=dropout)
    if is_causal:
        mask = attention_mask(q_BHTK.shape[2], k_BHSK.shape[2], is_causal=True, device=q_BHTK.device)
    return written_out(q_BHTK, k_BHSK, v_BHSK, mask, scale=scale, softcap=softcap, dropout=dropout, see=see)


def _is_slow_fused(q_BHTK: Tensor, k_BHSK: Tensor, dropout: float) -> bool:
    learns_from_few = q_BHTK.requires_grad and k_BHSK.shape[2] <= _FEW_KEYS
    return q_BHTK.device.type == "cpu" and (learns_from_few or dropout > 0)


def written_out(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None,
    *,
    scale: float,
    softcap: float | None = None,
    dropout: float = 0.0,
    see: See | None = None,
) -> Tensor:
    """The mix [B, H, T, K], one step a line; `see` is handed scores, capped, masked, weights and mix."""
    scores_BHTS = show(see, "scores", q_BHTK @ k_BHSK.transpose(-2, -1) * scale)
    if softcap is not None:
        scores_BHTS = show(see, "capped", softcapped(scores_BHTS, softcap))
    if mask is not None:
        scores_BHTS = scores_BHTS + mask
    scores_BHTS = show(see, "masked", scores_BHTS)
    weights_BHTS = show(see, "weights", torch.softmax(scores_BHTS, dim=-1).type_as(v_BHSK))
    return show(see, "mix", dropped(weights_BHTS, dropout) @ v_BHSK)


def fused(
    q_BHTK: Tensor,
    k_BHSK: Tensor,
    v_BHSK: Tensor,
    mask: Tensor | None,
    *,
    scale: float,
    is_causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """The same numbers up to rounding, block by block, in memory that does not grow with T * S.

    What dropout loses is drawn in a way of torch's own: with a like chance, but not the same weights.
    """
    mask = mask if mask is None else mask.type_as(q_BHTK)
    return F.scaled_dot_product_attention(
        q_BHTK, k_BHSK, v_BHSK, attn_mask=mask, dropout_p=dropout, scale=scale, is_causal=is_causal
    )


def softcapped(scores: Tensor, cap: float) -> Tensor:
    """cap * tanh(scores / cap): never beyond the cap, and still with a slope (Gemma 2, 2024, section 2)."""
    return cap * torch.tanh(scores / cap)


def split_heads(x_BTC: Tensor, n_heads: int) -> Tensor:
    """[B, T, heads * K] -> [B, heads, T, K]: each head gets its own columns."""
    n_batch, n_tokens, _ = x_BTC.shape
    return x_BTC.view(n_batch, n_tokens, n_heads, -1).transpose(1, 2)


def join_heads(x_BHTK: Tensor) -> Tensor:
    """[B, H, T, K] -> [B, T, H * K]: the heads' columns side by side again."""
    return x_BHTK.transpose(1, 2).flatten(-2)


def repeat_heads(x_BNSK: Tensor, n_heads: int) -> Tensor:
    """[B, N, S, K] -> [B, H, S, K]: each key/value head serves H / N query heads that follow each other.

    Grouped-query attention (Ainslie et al., 2023); with N = 1 multi-query attention (Shazeer, 2019).
    """
    n_groups = n_heads // x_BNSK.shape[1]
    return x_BNSK if n_groups == 1 else x_BNSK.repeat_interleave(n_groups, dim=1)
