"""Masks: which keys a query may look at.

Made in two steps. First a table of booleans, true where a query (row) may see a key (column): causal,
within a window, of one document, not padding. Then what is added to the scores: 0 where it may, -inf where it
may not, since exp(-inf) is 0 and the other weights still sum to 1.

The queries are the last T of the S positions: with a cache, S - T keys came before.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["additive", "attention_mask", "causal", "distances", "padding", "same_document", "within"]


def distances(n_queries: int, n_keys: int, device: torch.device | None = None) -> Tensor:
    """How far each key lies behind each query (negative: ahead), whole numbers [T, S]."""
    query_T = torch.arange(n_keys - n_queries, n_keys, device=device)
    key_S = torch.arange(n_keys, device=device)
    return query_T[:, None] - key_S[None, :]


def causal(distance_TS: Tensor) -> Tensor:
    """A token sees itself and what came before it: bool [T, S]."""
    return distance_TS >= 0


def within(distance_TS: Tensor, window: int) -> Tensor:
    """A token sees the nearest `window` tokens to either side, itself counted: bool [T, S].

    With `causal`, the sliding window of Beltagy et al., "Longformer", 2020, and of Mistral 7B.
    """
    return distance_TS.abs() < window


def padding(distance_TS: Tensor, is_token_BS: Tensor) -> Tensor:
    """Nobody sees padding, but each padding token itself: bool [B, 1, T, S].

    Itself, because a query that sees nothing has no weights: softmax of -inf alone is not a number, and it
    would spread through the values to every other token.
    """
    return is_token_BS[:, None, None, :] | (distance_TS == 0)


def same_document(document_BT: Tensor) -> Tensor:
    """A token sees those of its own document, where several share a row: bool [B, 1, T, T]."""
    return document_BT[:, None, :, None] == document_BT[:, None, None, :]


def additive(is_visible: Tensor) -> Tensor:
    """What to add to the scores: 0 where true, -inf where false (float32, the same shape)."""
    return torch.zeros(is_visible.shape, device=is_visible.device).masked_fill(~is_visible, -torch.inf)


def attention_mask(
    n_queries: int,
    n_keys: int,
    *,
    is_causal: bool,
    window: int | None = None,
    is_token_BS: Tensor | None = None,
    document_BT: Tensor | None = None,
    bias_HTS: Tensor | None = None,
    device: torch.device | None = None,
) -> Tensor | None:
    """All of it together, and a bias by distance if there is one: [B or 1, H or 1, T, S].

    None where nothing is hidden and nothing is added, as for one new token after a cache.
    """
    distance_TS = distances(n_queries, n_keys, device)
    tables = []
    if is_causal and n_queries > 1:
        tables.append(causal(distance_TS))
    if window is not None and window < n_keys:
        tables.append(within(distance_TS, window))
    if is_token_BS is not None:
        tables.append(padding(distance_TS, is_token_BS))
    if document_BT is not None:
        tables.append(same_document(document_BT))
    if not tables:
        return None if bias_HTS is None else bias_HTS[None]
    is_visible = tables[0]
    for table in tables[1:]:
        is_visible = is_visible & table
    mask = additive(is_visible if is_visible.dim() == 4 else is_visible[None, None])
    return mask if bias_HTS is None else mask + bias_HTS
