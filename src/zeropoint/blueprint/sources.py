"""Describe how each of our tensors is computed from the tensors stored in a file.

Every family maps our names to such descriptions; `weights/mapping.py` evaluates them lazily, in both
directions. They nest: `Rows(Transposed(Rename("h.0.attn.c_attn.weight")), 0, 768)` is GPT-2's query
projection: transpose the stored matrix, then take its first 768 rows.
"""

from __future__ import annotations

from zeropoint.frozen import frozen

__all__ = [
    "LogOfNegative",
    "Offset",
    "Permuted",
    "Regrouped",
    "Rename",
    "Reshaped",
    "Rows",
    "Stacked",
    "TensorSource",
    "Transposed",
    "stored_names",
]


@frozen
class Rename:
    """The stored tensor `name`, unchanged."""

    name: str


@frozen
class Rows:
    """Rows [begin, end) of `source` along its first axis, for fused projections.

    axis: another axis, for stacks of fused projections.
    """

    source: TensorSource
    begin: int
    end: int
    axis: int = 0


@frozen
class Transposed:
    """The matrix `source` [in, out], transposed to [out, in] (GPT-2's Conv1D), or each of a stack."""

    source: TensorSource


@frozen
class Permuted:
    """`source`, with the rows of each of n_heads heads reordered to the other layout of rotary pairs.

    is_interleaved: whether our layout is. If so, row 2i + j of a head is the source's row j * d_head / 2 + i;
    else row j * d_head / 2 + i is the source's row 2i + j. GGUF interleaves Llama's pairs, Hugging Face does
    not. A bias is permuted like a column.
    """

    source: TensorSource
    n_heads: int
    is_interleaved: bool


@frozen
class Regrouped:
    """`source`, with equal blocks of its rows (axis 0) or columns (axis 1) in another order: block (i, j) of
    n_groups x n_members becomes block (j, i), as when two axes are swapped.

    Qwen 3.5 stores the query and the gate of a head next to each other, and GGUF its value heads in another
    order than Hugging Face. begin: rows or columns before it stay where they are.
    """

    source: TensorSource
    n_groups: int
    n_members: int
    axis: int = 0
    begin: int = 0


@frozen
class Stacked:
    """`sources` of equal shape, stacked along a new first axis (the experts of a mixture)."""

    sources: tuple[TensorSource, ...]


@frozen
class Offset:
    """`source` plus `add` (Gemma stores gain - 1)."""

    source: TensorSource
    add: float


@frozen
class Reshaped:
    """`source` of stored_shape in our shape, with the same number of values in the same order."""

    source: TensorSource
    shape: tuple[int, ...]
    stored_shape: tuple[int, ...]


@frozen
class LogOfNegative:
    """log(-source): GGUF stores the rates A = -exp(A_log) at which a recurrent state decays."""

    source: TensorSource


TensorSource = Rename | Rows | Transposed | Permuted | Regrouped | Stacked | Offset | Reshaped | LogOfNegative


def stored_names(source: TensorSource) -> list[str]:
    """The names of all stored tensors that a description reads, in order."""
    match source:
        case Rename(name):
            return [name]
        case Stacked(sources):
            return [name for part in sources for name in stored_names(part)]
        case _:
            return stored_names(source.source)
