"""Blocks one after another, and what they share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zeropoint.blueprint.parts.position import RelativeBias as RelativeBiasSpec
from zeropoint.blueprint.spec import Block as Spec
from zeropoint.layers.cache import Cache
from zeropoint.layers.position.relative_bias import RelativeBias
from zeropoint.layers.taps import See, under
from zeropoint.layers.token_positions import Place
from zeropoint.models.block import Block, Memory

__all__ = ["Stack"]


class Stack(nn.Module):
    """Blocks by number (`stack[3]`), and T5's one table of relative positions for all of them.

    recomputes: while learning, keep what goes into each block and compute the rest again on the way back
    (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016). A third more work, much less memory.
    """

    def __init__(
        self, specs: Sequence[Spec], d_model: int, dropout: float = 0.0, attention_dropout: float = 0.0
    ) -> None:
        super().__init__()
        for i, spec in enumerate(specs):
            self.add_module(str(i), Block(spec, d_model, dropout, attention_dropout))
        self.n_layers = len(specs)
        self.gradient_checkpointing = False
        self.relative_bias: RelativeBias | None = None
        if specs and isinstance(position := specs[0].attention.position, RelativeBiasSpec):
            self.relative_bias = RelativeBias(position, specs[0].attention.n_heads)

    def forward(
        self,
        x_BTD: Tensor,
        place: Place,
        cache: Cache | None = None,
        memories: Sequence[Memory | None] | None = None,
        see: See | None = None,
    ) -> Tensor:
        """The residual stream after the last block: [B, T, D]. memories: a source, a block."""
        n_past = cache.n_tokens if cache is not None else 0
        bias_HTS = None
        if self.relative_bias is not None:
            n_new = x_BTD.shape[1]
            bias_HTS = self.relative_bias(n_new, n_past + n_new)
        for i, block in enumerate(self):
            args = (
                x_BTD,
                place,
                None if cache is None else cache.layers[i],
                bias_HTS,
                None if memories is None else memories[i],
                under(see, str(i)),
            )
            if self.gradient_checkpointing and self.training and cache is None and see is None:
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
