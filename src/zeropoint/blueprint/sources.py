"""How a tensor of ours is made from what a file stores: small descriptions, nested from the inside out.

A family says for each of our tensors what it is; `weights/mapping.py` carries it out, lazily and in both
directions. `Rows(Transposed(Rename("h.0.attn.c_attn.weight")), 0, 768)` is GPT-2's query: turn the stored
matrix, then take its first 768 rows.
"""

from __future__ import annotations

from zeropoint.frozen import frozen

__all__ = ["Offset", "Permuted", "Rename", "Rows", "Stacked", "TensorSource", "Transposed", "stored_names"]


@frozen
class Rename:
    """The file's tensor `name` as it is."""

    name: str


@frozen
class Rows:
    """Rows [begin, end) of `source` along its first axis (fused projections)."""

    source: TensorSource
    begin: int
    end: int


@frozen
class Transposed:
    """The matrix `source` [in, out] turned to [out, in] (GPT-2's Conv1D)."""

    source: TensorSource


@frozen
class Permuted:
    """`source`, n_heads heads of d_head rows each, brought from one layout of rotary pairs to the other.

    is_interleaved: ours is; then our row 2i + j of a head is the source's row j * d_head / 2 + i. Else ours
    is in halves, and our row j * d_head / 2 + i is the source's row 2i + j. GGUF interleaves Llama's pairs,
    Hugging Face does not. A bias is permuted as a column is.
    """

    source: TensorSource
    n_heads: int
    is_interleaved: bool


@frozen
class Stacked:
    """`sources` of equal shape as one tensor with a new first axis (the experts of a mixture)."""

    sources: tuple[TensorSource, ...]


@frozen
class Offset:
    """`source` with `add` added to every element (Gemma's gain - 1)."""

    source: TensorSource
    add: float


TensorSource = Rename | Rows | Transposed | Permuted | Stacked | Offset


def stored_names(source: TensorSource) -> list[str]:
    """The names of all stored tensors that a source reads, in order."""
    match source:
        case Rename(name):
            return [name]
        case Stacked(sources):
            return [name for part in sources for name in stored_names(part)]
        case _:
            return stored_names(source.source)
