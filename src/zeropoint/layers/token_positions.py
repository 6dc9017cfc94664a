"""Positions of the tokens of one forward pass: what precedes them, and which of them are padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.errors import BadInput
from zeropoint.layers.cache import Cache
from zeropoint.layers.mask import same_document

__all__ = ["TokenPositions", "consecutive", "token_positions", "without_padding"]


@dataclass(frozen=True)
class TokenPositions:
    """positions_BT: position of each token, counted from 0 at its sequence's first token after padding.

    padding_mask_BS: True for tokens, False for padding, for all keys (cached ones first); None: no padding.
    n_positions: how long the sequence may become (LongRoPE and dynamic NTK choose frequencies by it).
    document_BT: index of the document a token belongs to, if several share a row; else None.
    """

    positions_BT: Tensor
    padding_mask_BS: Tensor | None = None
    n_positions: int = 0
    document_BT: Tensor | None = None


def consecutive(n_tokens: int, n_past: int = 0, device: torch.device | None = None) -> TokenPositions:
    """Positions n_past, n_past + 1, ... of a batch without padding."""
    positions_1T = torch.arange(n_past, n_past + n_tokens, device=device)[None]
    return TokenPositions(positions_1T, n_positions=n_past + n_tokens)


def without_padding(x_BTD: Tensor, positions: TokenPositions | None) -> Tensor:
    """x with the rows of padding set to zero, so that a recurrence ignores them."""
    if positions is None or positions.padding_mask_BS is None:
        return x_BTD
    return x_BTD * positions.padding_mask_BS[:, -x_BTD.shape[1] :, None]


def token_positions(
    ids_BT: Tensor,
    cache: Cache | None = None,
    mask_BT: Tensor | None = None,
    n_positions: int | None = None,
    document_BT: Tensor | None = None,
) -> TokenPositions:
    """The positions of ids that follow what the cache holds; the cache also stores their padding mask.

    mask_BT: 1 for a token, 0 for padding; None: no padding. n_positions: by default the cache's capacity,
    else T. document_BT: count positions from 0 in each document; raises BadInput with a cache or padding.
    """
    n_past = cache.n_tokens if cache is not None else 0
    n_batch, n_new = ids_BT.shape
    if n_positions is None:
        n_positions = cache.n_positions if cache is not None else n_new
    if document_BT is not None:
        if cache is not None or mask_BT is not None:
            raise BadInput("document_BT excludes a cache and padding; leave out `cache` and `mask_BT`")
        is_earlier_BTT = same_document(document_BT)[:, 0].tril()
        return TokenPositions(is_earlier_BTT.sum(-1) - 1, None, n_positions, document_BT)
    if cache is not None:
        cache.check_room(n_new)
    padding_mask_BS = None if mask_BT is None else mask_BT.bool()
    if cache is not None:
        padding_mask_BS = cache.extend_padding_mask(n_batch, n_new, padding_mask_BS)
    if padding_mask_BS is None:
        positions_1T = torch.arange(n_past, n_past + n_new, device=ids_BT.device)[None]
        return TokenPositions(positions_1T, None, n_positions)
    # Padding before the first token gets position 0 as well: no token attends to it, so any number will do.
    positions_BS = (padding_mask_BS.cumsum(-1) - 1).clamp(min=0)
    return TokenPositions(positions_BS[:, n_past:], padding_mask_BS, n_positions)
