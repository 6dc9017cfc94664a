"""The cache: what each layer remembers of earlier tokens, so that a new token does not compute them again.

Attention remembers keys and values (`KeyValueCache`), which grow with the text: in a causal model the key and
value of a token do not depend on later tokens, so they never change. A recurrence remembers a state of fixed
size (`StateCache`), which every token overwrites.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zeropoint.blueprint.parts.ffn import ChannelMix
from zeropoint.blueprint.spec import Block
from zeropoint.errors import BadInput, ContextFull

__all__ = ["Cache", "KeyValueCache", "KeysValues", "LayerCache", "Memory", "NoCache", "State", "StateCache"]

KeysValues = tuple[Tensor, Tensor]
State = dict[str, Tensor]  # the tensors of a recurrent state, each [B, ...]
# An encoder's output as keys and values for one block's cross-attention, and its padding mask (None: no
# padding).
Memory = tuple[KeysValues, Tensor | None]


class KeyValueCache:
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


class StateCache:
    """The state of a recurrence, and those that earlier passes left: no token can be removed from a state, so
    a rollback returns to one of them.

    ffn: the same for the block's feed-forward network, if that looks back as well (RWKV).
    """

    MAX_STATES = 8  # a draft and its verification take two passes; more is for longer ways back

    def __init__(self, has_ffn_state: bool = False) -> None:
        self.states: list[tuple[int, State]] = []  # number of tokens, and the state after them; oldest first
        self.ffn = StateCache() if has_ffn_state else None

    def read(self) -> State | None:
        """The state after all tokens so far; None before the first."""
        return self.states[-1][1] if self.states else None

    def write(self, state: State, n_new: int) -> None:
        """Store the state after n_new more tokens."""
        self.states = [*self.states, (self.n_tokens + n_new, state)][-self.MAX_STATES :]

    @property
    def n_tokens(self) -> int:
        """Number of tokens that the state has seen."""
        return self.states[-1][0] if self.states else 0

    def select(self, rows_R: Tensor) -> None:
        """Reorder the batch, as `KeyValueCache.select`."""
        self.states = [
            (n_tokens, {name: tensor[rows_R] for name, tensor in state.items()})
            for n_tokens, state in self.states
        ]
        if self.ffn is not None:
            self.ffn.select(rows_R)

    def truncate(self, n_tokens: int) -> None:
        """Return to the latest stored state of at most n_tokens tokens; to no state if there is none."""
        self.states = [(n, state) for n, state in self.states if n <= n_tokens]
        if self.ffn is not None:
            self.ffn.truncate(n_tokens)


class NoCache:
    """The cache of attention that reads the keys and values of an earlier block: it has none of its own."""

    n_tokens = 0

    def select(self, rows_R: Tensor) -> None:
        """Nothing to reorder."""

    def truncate(self, n_tokens: int) -> None:
        """Nothing to remove."""


LayerCache = KeyValueCache | StateCache | NoCache


class Cache:
    """The cache of a model: one `LayerCache` per block, and the padding mask of all cached positions.

    blocks: whose layers to cache. n_positions: capacity. memory: for an encoder-decoder, the source's keys
    and values per block (None for a block without cross-attention); computed once per source.
    """

    def __init__(self, blocks: Sequence[Block], n_positions: int) -> None:
        self.n_positions = n_positions
        self.layers: list[LayerCache] = [_cache_of(block) for block in blocks]
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

    def rollback(self, n: int) -> int:
        """Remove the last n positions. Raises BadInput if there are fewer.

        Returns how many tokens before them were removed as well, which the caller must read again: a
        recurrent state returns to the end of an earlier pass. 0 for a model without recurrences.
        """
        if not 0 <= n <= self.n_tokens:
            raise BadInput(f"cannot remove {n} tokens; the sequence has {self.n_tokens}")
        wanted = n_left = self.n_tokens - n
        for layer in self.layers:
            if isinstance(layer, StateCache):
                layer.truncate(n_left)
                n_left = layer.n_tokens
        for layer in self.layers:
            layer.truncate(n_left)
        if self.padding_mask_BS is not None:
            self.padding_mask_BS = self.padding_mask_BS[:, :n_left]
        return wanted - n_left


def _cache_of(block: Block) -> LayerCache:
    if block.attention is None:
        return StateCache(isinstance(block.ffn, ChannelMix))
    return KeyValueCache() if block.attention.has_keys else NoCache()


def _rows(memory: Memory, rows_R: Tensor) -> Memory:
    (k_BNSK, v_BNSK), padding_mask_BS = memory
    return (k_BNSK[rows_R], v_BNSK[rows_R]), None if padding_mask_BS is None else padding_mask_BS[rows_R]
