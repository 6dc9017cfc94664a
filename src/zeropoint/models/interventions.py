"""Changing a torch forward pass at its points, as `blueprint/interventions.py` says."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from zeropoint.blueprint.interventions import PointEdit
from zeropoint.layers.attention.scaled_dot_product import join_heads, split_heads
from zeropoint.layers.taps import See

__all__ = ["editing"]


def editing(edits: Sequence[PointEdit], first: int = 0, see: See | None = None) -> See | None:
    """A looker that changes what the edits say and shows `see` the result; `see` itself where there are none.

    first: the position of the first token of this pass.
    """
    if not edits:
        return see

    def change(name: str, tensor: Tensor) -> Tensor:
        for edit in edits:
            if edit.point == name:
                tensor = _changed(tensor, edit, first)
        if see is not None:
            see(name, tensor)
        return tensor

    return change


def _changed(tensor: Tensor, edit: PointEdit, first: int) -> Tensor:
    """tensor: [B, T, width], or [B, H, T, K] of heads."""
    is_heads = tensor.dim() == 4
    rows_BTW = (join_heads(tensor) if is_heads else tensor).clone()
    tokens = slice(max(edit.first - first, 0), max(edit.end - first, 0))
    columns = slice(edit.column, edit.column + edit.n_columns)
    chosen = edit.factor * rows_BTW[:, tokens, columns]
    if edit.addend:
        chosen = chosen + torch.tensor(edit.addend, dtype=chosen.dtype, device=chosen.device)
    rows_BTW[:, tokens, columns] = chosen
    return split_heads(rows_BTW, tensor.shape[1]) if is_heads else rows_BTW
