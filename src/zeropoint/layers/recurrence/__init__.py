"""Recurrent layers: a state updated token by token.

Read `gru` and `alignment` (early attention) for models before the Transformer, then `short_convolution`,
`mamba2` with its `state_space`, `gated_delta_net` with its `delta_rule`, and `rwkv7`. The file for a
recurrence of a block is named after its kind in TOML and defines `layer(spec, d_model)`; a file added here is
found without further edits.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from zeropoint import registry
from zeropoint.blueprint.parts.recurrence import Recurrence
from zeropoint.blueprint.toml_codec import kind_of
from zeropoint.layers.cache import StateCache
from zeropoint.layers.taps import Tapped
from zeropoint.layers.token_positions import TokenPositions

__all__ = ["RecurrentLayer", "Shared", "SharingLayer", "build"]

Shared = dict[str, Tensor]  # what layers leave for later ones in the same forward pass


class RecurrentLayer(Tapped):
    """The base class of the layers that mix tokens through a state."""

    def forward(
        self, x_BTD: Tensor, positions: TokenPositions | None = None, cache: StateCache | None = None
    ) -> Tensor:
        """The output [B, T, D]. cache: the state that earlier tokens left, which x continues.

        Padding leaves the state as it is, and where several documents share a row, each begins with an empty
        state.
        """
        raise NotImplementedError

    def initialize(self, generator: torch.Generator) -> None:
        """Draw the parameters that need other values than `models/initialize.py` gives them."""


class SharingLayer(RecurrentLayer):
    """The base class of those that also read what earlier layers left in the same forward pass."""

    def forward(
        self,
        x_BTD: Tensor,
        positions: TokenPositions | None = None,
        cache: StateCache | None = None,
        shared: Shared | None = None,
    ) -> Tensor:
        """The same. shared: one dictionary for all layers of a pass, which this layer may read and fill."""
        raise NotImplementedError


def build(spec: Recurrence, d_model: int) -> RecurrentLayer:
    """The layer for a spec. Raises BadInput for a spec without a file."""
    module = registry.load(__name__, kind_of(type(spec)), "recurrence")
    return cast("RecurrentLayer", module.layer(spec, d_model))
