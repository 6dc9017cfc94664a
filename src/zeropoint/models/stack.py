"""A stack of blocks, and what its blocks share: rotary angles and T5's relative position bias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeropoint.blueprint.parts.position import RelativeBias as RelativeBiasSpec
from zeropoint.blueprint.spec import Block as Spec
from zeropoint.layers.cache import Cache, KeysValues, Memory
from zeropoint.layers.position import Rotation
from zeropoint.layers.position.relative_bias import RelativeBias
from zeropoint.layers.recurrence import Shared
from zeropoint.layers.token_positions import TokenPositions
from zeropoint.models.block import Block

__all__ = ["Stack"]


class Stack(nn.Module):
    """Blocks by number (`stack[3]`), run one after another.

    gradient_checkpointing: while training, store only each block's input and recompute the rest in the
    backward pass (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016): a third more
    computation for much less memory.
    """

    def __init__(
        self, specs: Sequence[Spec], d_model: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        for i, spec in enumerate(specs):
            self.add_module(str(i), Block(spec, d_model, dropout, attention_dropout))
        self.n_layers = len(specs)
        self.gradient_checkpointing = False
        position_specs = [None if spec.attention is None else spec.attention.position for spec in specs]
        # For each block the first one with the same positional encoding, whose cos and sin it reuses.
        self.shares_rotation_with = [position_specs.index(spec) for spec in position_specs]
        # For each block the one whose keys and values it reads, if it has none of its own.
        self.sources = [None if spec.attention is None else spec.attention.source for spec in specs]
        self.relative_bias: RelativeBias | None = None
        attention = specs[0].attention if specs else None
        if attention is not None and isinstance(attention.position, RelativeBiasSpec):
            self.relative_bias = RelativeBias(attention.position, attention.n_heads)

    def forward(
        self,
        x_BTD: Tensor,
        positions: TokenPositions,
        cache: Cache | None = None,
        memories: Sequence[Memory | None] | None = None,
        per_layer_BTLP: Tensor | None = None,
    ) -> Tensor:
        """The residual stream after the last block: [B, T, D].

        memories: for each block with cross-attention what it attends to, else None. per_layer_BTLP: the
        input of each block of its own, if the blocks have one.
        """
        score_bias_HTS = None
        if self.relative_bias is not None:
            n_past, n_new = 0 if cache is None else cache.n_tokens, x_BTD.shape[1]
            score_bias_HTS = self.relative_bias(n_new, n_past + n_new)
        rotations: list[Rotation | None] = []
        shared: Shared = {}
        lent: dict[int, KeysValues] = {}  # keys and values that later blocks read too
        for i, block in enumerate(self):
            first = self.shares_rotation_with[i]
            rotations.append(rotations[first] if first < i else block.rotation(positions))
            args = (
                x_BTD,
                positions,
                None if cache is None else cache.layers[i],
                score_bias_HTS,
                None if memories is None else memories[i],
                rotations[i],
                shared,
                None if (source := self.sources[i]) is None else lent[source],
                partial(lent.__setitem__, i) if i in self.sources else None,
                None if per_layer_BTLP is None else per_layer_BTLP[:, :, i],
            )
            if self.gradient_checkpointing and self.training and cache is None:
                x_BTD = checkpoint(block, *args, use_reentrant=False)
            else:
                x_BTD = block(*args)
        return x_BTD

    def __getitem__(self, i: int) -> Block:
        return cast("Block", self.get_submodule(str(range(self.n_layers)[i])))

    def __iter__(self) -> Iterator[Block]:
        return (self[i] for i in range(self.n_layers))

    def __len__(self) -> int:
        return self.n_layers
