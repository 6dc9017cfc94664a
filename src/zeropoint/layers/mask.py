"""Attention masks: which keys a query may attend to.

A mask starts as a table of booleans with torch's meaning: True where a query (row) may attend to a key
(column). `causal`, `within_window`, `same_document` and `not_padding` each build one; `attention_mask`
combines them. `additive` turns the result into what is added to the scores: 0 where True, -inf where False,
because exp(-inf) is 0 and the remaining weights still sum to 1.

The queries are the last T of the S positions: with a KV cache, S - T keys precede them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.errors import BadInput

__all__ = [
    "additive",
    "as_additive",
    "attention_mask",
    "causal",
    "distances",
    "not_padding",
    "same_document",
    "within_window",
]


def distances(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """How many positions each key is behind each query (negative: ahead): int64 [T, S]."""
    query_T = torch.arange(n_keys - n_queries, n_keys, device=device)
    key_S = torch.arange(n_keys, device=device)
    return query_T[:, None] - key_S[None, :]


def causal(distance_TS: Tensor) -> Tensor:
    """A token attends to itself and to earlier tokens: bool [T, S]."""
    return distance_TS >= 0


def within_window(distance_TS: Tensor, window: int) -> Tensor:
    """A token attends to the nearest `window` positions on either side, itself included: bool [T, S].

    With `causal`, this is the sliding window of Beltagy et al., "Longformer", 2020, and of Mistral 7B.
    """
    return distance_TS.abs() < window


def not_padding(distance_TS: Tensor, padding_mask_BS: Tensor) -> Tensor:
    """No token attends to padding, but a padding token attends to itself: bool [B, 1, T, S].

    padding_mask_BS: True for tokens, False for padding. A query with no key at all would have the softmax of
    nothing but -inf, which is NaN and would spread to every token through the values.
    """
    return padding_mask_BS[:, None, None, :] | (distance_TS == 0)


def same_document(document_BT: Tensor) -> Tensor:
    """A token attends to its own document, if several share a row: bool [B, 1, T, T]."""
    return document_BT[:, None, :, None] == document_BT[:, None, None, :]


def additive(may_attend: Tensor) -> Tensor:
    """What to add to the scores: 0 where True, -inf where False (float32, same shape)."""
    return torch.zeros(may_attend.shape, device=may_attend.device).masked_fill(~may_attend, -torch.inf)


def as_additive(mask: Tensor | None) -> Tensor | None:
    """A mask to add to the scores: a boolean mask (True: may attend) converted, a floating-point mask as is.

    Raises BadInput for an integer mask: adding 0 and 1 to the scores would mask nothing.
    """
    if mask is None or mask.is_floating_point():
        return mask
    if mask.dtype is not torch.bool:
        raise BadInput(
            f"the attention mask has dtype {mask.dtype}; pass a boolean mask, True where a query may attend, "
            "or a floating-point mask to add to the scores"
        )
    return additive(mask)


def attention_mask(
    n_queries: int,
    n_keys: int,
    *,
    is_causal: bool,
    window: int | None = None,
    padding_mask_BS: Tensor | None = None,
    document_BT: Tensor | None = None,
    score_bias_HTS: Tensor | None = None,
    device: torch.device | None = None,
) -> Tensor | None:
    """All masks combined, plus a bias that depends on distance: [B or 1, H or 1, T, S], added to the scores.

    None if nothing is masked and nothing is added, as for one new token after a KV cache.
    """
    distance_TS = distances(n_queries, n_keys, device)
    tables = []
    if is_causal and n_queries > 1:
        tables.append(causal(distance_TS))
    if window is not None and window < n_keys:
        tables.append(within_window(distance_TS, window))
    if padding_mask_BS is not None:
        tables.append(not_padding(distance_TS, padding_mask_BS))
    if document_BT is not None:
        tables.append(same_document(document_BT))
    if not tables:
        return None if score_bias_HTS is None else score_bias_HTS[None]
    may_attend = tables[0]
    for table in tables[1:]:
        may_attend = may_attend & table
    mask = additive(may_attend if may_attend.dim() == 4 else may_attend[None, None])
    return mask if score_bias_HTS is None else mask + score_bias_HTS
