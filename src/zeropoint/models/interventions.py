"""Interventions on a torch model: the functions that apply `blueprint/interventions.py` to tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from zeropoint.blueprint.interventions import PointEdit
from zeropoint.layers.attention.scaled_dot_product import join_heads, split_heads

__all__ = ["as_functions"]


def as_functions(edits: Sequence[PointEdit], n_past: int = 0) -> dict[str, Callable[[Tensor], Tensor]]:
    """For each point, a function that applies its edits in order; `layers.taps.observe` takes them.

    n_past: position of the first token of this forward pass.
    """
    return {
        point: partial(_apply, [edit for edit in edits if edit.point == point], n_past)
        for point in {edit.point for edit in edits}
    }


def _apply(edits: Sequence[PointEdit], n_past: int, tensor: Tensor) -> Tensor:
    """tensor: [B, T, width], or [B, H, T, K] for heads."""
    is_heads = tensor.dim() == 4
    rows_BTW = (join_heads(tensor) if is_heads else tensor).clone()
    for edit in edits:
        tokens = slice(max(edit.first - n_past, 0), max(edit.end - n_past, 0))
        columns = slice(edit.column, edit.column + edit.n_columns)
        edited = edit.factor * rows_BTW[:, tokens, columns]
        if edit.addend:
            edited = edited + torch.tensor(edit.addend, dtype=edited.dtype, device=edited.device)
        rows_BTW[:, tokens, columns] = edited
    return split_heads(rows_BTW, tensor.shape[1]) if is_heads else rows_BTW
