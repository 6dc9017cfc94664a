"""The cache: keys and values of tokens already read, so that a new token costs one row and not all of them.

A causal token's key and value never change when more tokens follow; that is all there is to it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.errors import BadInput, ContextFull

__all__ = ["Cache", "KeysValues", "LayerCache"]

KeysValues = tuple[Tensor, Tensor]


class LayerCache:
    """Keys and values of one layer, rotated already: [B, N, S, K] each."""

    def __init__(self) -> None:
        self.held: KeysValues | None = None

    def extend(self, k_BNTK: Tensor, v_BNTK: Tensor) -> KeysValues:
        """Append the new ones, and return all."""
        if self.held is not None:
            k_BNTK = torch.cat([self.held[0], k_BNTK], dim=2)
            v_BNTK = torch.cat([self.held[1], v_BNTK], dim=2)
        self.held = (k_BNTK, v_BNTK)
        return self.held

    @property
    def n_tokens(self) -> int:
        """Positions held."""
        return 0 if self.held is None else self.held[0].shape[2]

    def select(self, rows_R: Tensor) -> None:
        """Keep these rows of the batch, in this order; one may be taken more than once."""
        if self.held is not None:
            self.held = (self.held[0][rows_R], self.held[1][rows_R])

    def rollback(self, n_kept: int) -> None:
        """Forget all but the first n_kept positions."""
        if self.held is not None:
            self.held = (self.held[0][:, :, :n_kept], self.held[1][:, :, :n_kept])


class Cache:
    """The cache of a model: one `LayerCache` a block, and which positions are padding.

    n_positions: how many it may hold. memory: an encoder-decoder's keys and values of its source, one pair
    a block, and the source's padding; computed once and then only read.
    """

    def __init__(self, n_layers: int, n_positions: int) -> None:
        self.n_positions = n_positions
        self.layers = [LayerCache() for _ in range(n_layers)]
        self.is_token_BS: Tensor | None = None
        self.memory: list[tuple[KeysValues, Tensor | None] | None] | None = None

    @property
    def n_tokens(self) -> int:
        """Positions held."""
        return self.layers[0].n_tokens

    def check_room(self, n_new: int) -> None:
        """Raise ContextFull where n_new more do not fit."""
        if self.n_tokens + n_new > self.n_positions:
            raise ContextFull(
                f"the sequence would have {self.n_tokens + n_new} tokens and the cache holds "
                f"{self.n_positions}; make a larger cache or shorten the text"
            )

    def remember_padding(self, n_batch: int, n_new: int, is_token_BT: Tensor | None) -> Tensor | None:
        """Append the padding of n_new tokens (None: none of them is), and return that of all positions."""
        if is_token_BT is None and self.is_token_BS is None:
            return None
        device = (is_token_BT if is_token_BT is not None else self.is_token_BS).device  # type: ignore[union-attr]
        past = self.is_token_BS
        if past is None:
            past = torch.ones(n_batch, self.n_tokens, dtype=torch.bool, device=device)
        if is_token_BT is None:
            is_token_BT = torch.ones(n_batch, n_new, dtype=torch.bool, device=device)
        self.is_token_BS = torch.cat([past, is_token_BT], dim=1)
        return self.is_token_BS

    def select(self, rows_R: Tensor) -> None:
        """Keep these rows of the batch, in this order, for all that is remembered: answers that are done go,
        and a beginning that two others follow stands there twice.
        """
        for layer in self.layers:
            layer.select(rows_R)
        if self.is_token_BS is not None:
            self.is_token_BS = self.is_token_BS[rows_R]
        if self.memory is not None:
            self.memory = [None if held is None else _rows(held, rows_R) for held in self.memory]

    def rollback(self, n: int) -> None:
        """Forget the last n positions. Raises BadInput where there are not so many."""
        if not 0 <= n <= self.n_tokens:
            raise BadInput(f"cannot forget {n} tokens; the sequence has {self.n_tokens}")
        n_kept = self.n_tokens - n
        for layer in self.layers:
            layer.rollback(n_kept)
        if self.is_token_BS is not None:
            self.is_token_BS = self.is_token_BS[:, :n_kept]


def _rows(held: tuple[KeysValues, Tensor | None], rows_R: Tensor) -> tuple[KeysValues, Tensor | None]:
    (k_BNSK, v_BNSK), is_token_BS = held
    return (k_BNSK[rows_R], v_BNSK[rows_R]), None if is_token_BS is None else is_token_BS[rows_R]
