"""Token embedding: turn token ids into vectors of the residual stream.

    x = norm(scale * weight[id] + segment[type] + position)

The scale sqrt(d_model) is from Vaswani et al., 2017, section 3.4; segments and the norm are from Devlin et
al., "BERT", 2018.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.spec import Block
from zeropoint.blueprint.spec import Embedding as Spec
from zeropoint.layers.norm import norm
from zeropoint.layers.per_layer import PerLayerTable, per_layer_inputs
from zeropoint.layers.position import builder_for
from zeropoint.layers.taps import Tapped, intervene, record

__all__ = ["Embedding"]


class Embedding(Tapped):
    """A lookup table [V, D], plus position and segment embeddings and a norm if the spec has them."""

    def __init__(self, spec: Spec, n_vocab: int, d_model: int, blocks: Sequence[Block] = ()) -> None:
        """blocks: that read this embedding; some have inputs of their own, made here."""
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.randn(n_vocab, d_model))
        build_position = builder_for(spec.position, "embedding")
        self.position = build_position(spec.position, d_model) if build_position else None
        self.segment = nn.Embedding(spec.n_types, d_model) if spec.n_types else None
        self.norm = norm(spec.norm, d_model)
        self.per_layer: PerLayerTable | None = None
        if blocks and (per_layer := blocks[0].per_layer) is not None:
            self.per_layer = PerLayerTable(n_vocab, len(blocks), per_layer.width)
            self.per_layer_projection = nn.Linear(d_model, len(blocks) * per_layer.width, bias=False)
            self.per_layer_norm = norm(blocks[0].norm, per_layer.width)
            self.n_blocks = len(blocks)

    def forward(
        self, ids_BT: Tensor, positions_BT: Tensor | None = None, types_BT: Tensor | None = None
    ) -> Tensor:
        """The residual stream [B, T, D]. positions_BT: default 0 to T - 1. types_BT: segments, default 0."""
        token_BTD = self.spec.scale * F.embedding(ids_BT, self.weight)
        segment_BTD = position_BTD = None
        x_BTD = token_BTD
        if self.segment is not None:
            segment_BTD = self.segment(torch.zeros_like(ids_BT) if types_BT is None else types_BT)
            x_BTD = x_BTD + segment_BTD
        if self.position is not None:
            if positions_BT is None:
                positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device)[None]
            position_BTD = self.position(positions_BT)
            x_BTD = x_BTD + position_BTD
        record(self.taps, token=token_BTD, segment=segment_BTD, position=position_BTD)
        return intervene(self.taps, "output", self.norm(x_BTD))

    def per_layer_inputs(self, ids_BT: Tensor, x_BTD: Tensor) -> Tensor | None:
        """The inputs of the blocks, [B, T, L, P], for x, the output of `forward`; None if they have none."""
        if self.per_layer is None:
            return None
        shape = (*ids_BT.shape, self.n_blocks, -1)
        token_BTLP = F.embedding(ids_BT, self.per_layer.weight).view(shape)
        projected_BTLP = self.per_layer_projection(x_BTD).view(shape)
        inputs_BTLP = per_layer_inputs(token_BTLP, projected_BTLP, self.per_layer_norm, x_BTD.shape[-1])
        record(self.taps, per_layer=inputs_BTLP.flatten(-2))
        return inputs_BTLP
