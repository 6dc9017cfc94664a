"""KV cache: store the keys and values of earlier tokens, so that each new token costs one row of attention.

In a causal model the key and value of a token do not depend on later tokens, so they never change.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.errors import BadInput, ContextFull

__all__ = ["Cache", "KeysValues", "LayerCache", "Memory"]

KeysValues = tuple[Tensor, Tensor]
# An encoder's output as keys and values for one block's cross-attention, and its padding mask (None: no
# padding).
Memory = tuple[KeysValues, Tensor | None]


class LayerCache:
    """Keys (already rotated) and values of one layer: [B, N, S, K] each."""

    def __init__(self) -> None:
        self.kv: KeysValues | None = None

    def extend(self, k_BNTK: Tensor, v_BNTK: Tensor) -> KeysValues:
        """Append keys and values of new tokens; return those of all tokens."""
        if self.kv is not None:
            k_BNTK = torch.cat([self.kv[0], k_BNTK], dim=2)
            v_BNTK = torch.cat([self.kv[1], v_BNTK], dim=2)
        self.kv = (k_BNTK, v_BNTK)
        return self.kv

    @property
    def n_tokens(self) -> int:
        """Number of cached positions."""
        return 0 if self.kv is None else self.kv[0].shape[2]

    def select(self, rows_R: Tensor) -> None:
        """Reorder the batch: row i becomes row rows_R[i]; a row may be repeated or dropped."""
        if self.kv is not None:
            self.kv = (self.kv[0][rows_R], self.kv[1][rows_R])

    def truncate(self, n_tokens: int) -> None:
        """Keep only the first n_tokens positions."""
        if self.kv is not None:
            self.kv = (self.kv[0][:, :, :n_tokens], self.kv[1][:, :, :n_tokens])


class Cache:
    """The KV cache of a model: one `LayerCache` per block, and the padding mask of all cached positions.

    n_positions: capacity. memory: for an encoder-decoder, the source's keys and values per block (None for a
    block without cross-attention); computed once per source.
    """

    def __init__(self, n_layers: int, n_positions: int) -> None:
        self.n_positions = n_positions
        self.layers = [LayerCache() for _ in range(n_layers)]
        self.padding_mask_BS: Tensor | None = None
        self.memory: list[Memory | None] | None = None

    @property
    def n_tokens(self) -> int:
        """Number of cached positions."""
        return self.layers[0].n_tokens

    def check_room(self, n_new: int) -> None:
        """Raise ContextFull if n_new more tokens do not fit."""
        if self.n_tokens + n_new > self.n_positions:
            raise ContextFull(
                f"the sequence would have {self.n_tokens + n_new} tokens and the cache holds "
                f"{self.n_positions}; make a larger cache or shorten the text"
            )

    def extend_padding_mask(self, n_batch: int, n_new: int, padding_mask_BT: Tensor | None) -> Tensor | None:
        """Append the mask of n_new tokens (None: no padding); return the mask of all positions, or None."""
        past_BS = self.padding_mask_BS
        known = past_BS if padding_mask_BT is None else padding_mask_BT
        if known is None:
            return None
        if past_BS is None:
            past_BS = torch.ones(n_batch, self.n_tokens, dtype=torch.bool, device=known.device)
        if padding_mask_BT is None:
            padding_mask_BT = torch.ones(n_batch, n_new, dtype=torch.bool, device=known.device)
        self.padding_mask_BS = torch.cat([past_BS, padding_mask_BT], dim=1)
        return self.padding_mask_BS

    def select(self, rows_R: Tensor) -> None:
        """Reorder the batch everywhere: beam search drops finished answers and repeats a shared prefix."""
        for layer in self.layers:
            layer.select(rows_R)
        if self.padding_mask_BS is not None:
            self.padding_mask_BS = self.padding_mask_BS[rows_R]
        if self.memory is not None:
            self.memory = [None if memory is None else _rows(memory, rows_R) for memory in self.memory]

    def rollback(self, n: int) -> None:
        """Remove the last n positions. Raises BadInput if there are fewer."""
        if not 0 <= n <= self.n_tokens:
            raise BadInput(f"cannot remove {n} tokens; the sequence has {self.n_tokens}")
        n_left = self.n_tokens - n
        for layer in self.layers:
            layer.truncate(n_left)
        if self.padding_mask_BS is not None:
            self.padding_mask_BS = self.padding_mask_BS[:, :n_left]


def _rows(memory: Memory, rows_R: Tensor) -> Memory:
    (k_BNSK, v_BNSK), padding_mask_BS = memory
    return (k_BNSK[rows_R], v_BNSK[rows_R]), None if padding_mask_BS is None else padding_mask_BS[rows_R]
