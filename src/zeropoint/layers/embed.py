"""From token ids to the residual stream: a row of a matrix for each token, and where it stands."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.spec import Embedding as Spec
from zeropoint.layers.norm import norm
from zeropoint.layers.position import maker
from zeropoint.layers.taps import See, show

__all__ = ["Embedding"]


class Embedding(nn.Module):
    """x = norm(scale * weight[id] + segment[type] + position), each summand where the spec has it.

    The scale sqrt(d_model): Vaswani et al., 2017, section 3.4. Segments, norm: Devlin et al., "BERT", 2018.
    """

    def __init__(self, spec: Spec, n_vocab: int, d_model: int) -> None:
        super().__init__()
        self.spec = spec
        self.weight = nn.Parameter(torch.randn(n_vocab, d_model))
        vectors = maker(spec.position, "vectors")
        self.position = vectors(spec.position, d_model) if vectors else None
        self.segment = nn.Embedding(spec.n_types, d_model) if spec.n_types else None
        self.norm = norm(spec.norm, d_model)

    def forward(
        self, ids_BT: Tensor, positions_BT: Tensor, types_BT: Tensor | None = None, see: See | None = None
    ) -> Tensor:
        """The residual stream [B, T, D]. types_BT: segment of each token; by default 0."""
        x_BTD = show(see, "token", self.spec.scale * F.embedding(ids_BT, self.weight))
        if self.segment is not None:
            types_BT = torch.zeros_like(ids_BT) if types_BT is None else types_BT
            x_BTD = x_BTD + show(see, "segment", self.segment(types_BT))
        if self.position is not None:
            x_BTD = x_BTD + show(see, "position", self.position(positions_BT))
        return show(see, "output", self.norm(x_BTD))
