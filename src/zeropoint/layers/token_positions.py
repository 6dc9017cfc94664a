"""Where the tokens of one forward pass stand: after which others, and which of them are padding."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.errors import BadInput
from zeropoint.layers.cache import Cache
from zeropoint.layers.mask import same_document

__all__ = ["Place", "place"]


@dataclass(frozen=True)
class Place:
    """positions_BT: of each token, counted from 0 at its sequence's first token that is not padding.

    is_token_BS: false for padding, of all keys (cached ones first); None where there is none.
    n_positions: how long the sequence may become (LongRoPE chooses its factors by it).
    document_BT: which of the documents that share its row a token belongs to; None where a row is one.
    """

    positions_BT: Tensor
    is_token_BS: Tensor | None
    n_positions: int
    document_BT: Tensor | None = None


def place(
    ids_BT: Tensor,
    cache: Cache | None,
    mask_BT: Tensor | None,
    n_positions: int | None = None,
    document_BT: Tensor | None = None,
) -> Place:
    """The place of ids after what the cache holds, which then also remembers their padding.

    mask_BT: 1 for a token, 0 for padding; None for tokens only. n_positions: by default the cache's, else T.
    document_BT: positions are then counted from 0 in each. Raises BadInput beside a cache or padding.
    """
    n_past = cache.n_tokens if cache is not None else 0
    n_batch, n_new = ids_BT.shape
    if n_positions is None:
        n_positions = cache.n_positions if cache is not None else n_new
    if document_BT is not None:
        if cache is not None or mask_BT is not None:
            raise BadInput("documents that share a row go without cache and padding; leave those out")
        is_before_BTT = same_document(document_BT)[:, 0].tril()
        return Place(is_before_BTT.sum(-1) - 1, None, n_positions, document_BT)
    if cache is not None:
        cache.check_room(n_new)
    is_token_BS = None if mask_BT is None else mask_BT.bool()
    if cache is not None:
        is_token_BS = cache.remember_padding(n_batch, n_new, is_token_BS)
    if is_token_BS is None:
        return Place(torch.arange(n_past, n_past + n_new, device=ids_BT.device)[None], None, n_positions)
    # Padding before the first token stands at 0 too: nobody sees it, so any number will do.
    positions_BS = (is_token_BS.cumsum(-1) - 1).clamp(min=0)
    return Place(positions_BS[:, n_past:], is_token_BS, n_positions)
