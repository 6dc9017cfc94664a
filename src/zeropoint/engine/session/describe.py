"""Describe a loaded model in a line, or in the table that a notebook shows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zeropoint.blueprint.cost import count_parameters
from zeropoint.engine.contract import ENDLESS

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

__all__ = ["describe", "facts"]


def describe(model: Model) -> str:
    """One line: name, architecture, size, number format and context."""
    b = model.blueprint
    return (
        f"<Model {model.name}: {b.family}, {_millions(count_parameters(b))} parameters in {_format(model)}, "
        f"{b.n_layers} layers of width {b.d_model}, context {_context(model)}>"
    )


def facts(model: Model) -> Iterator[tuple[str, str]]:
    """The same and more, as names and values."""
    b = model.blueprint
    yield "model", model.name
    yield "architecture", b.family
    yield "parameters", f"{count_parameters(b):,}"
    yield "number format", _format(model)
    yield "layers", f"{b.n_layers}"
    yield "width of the residual stream", f"{b.d_model:,}"
    heads = {a.n_heads: a.n_kv_heads for a in b.attentions}
    if len(heads) == 1:
        ((n_heads, n_kv_heads),) = heads.items()
        yield "attention heads", f"{n_heads} (with {n_kv_heads} key/value heads)"
    yield "vocabulary", f"{b.n_vocab:,} tokens"
    yield "context", f"{_context(model)} of {b.n_ctx:,} tokens"


def _format(model: Model) -> str:
    """The number format of most weights."""
    n_bytes: dict[str, int] = {}
    for tensor in model.file.tensors.values():
        n_bytes[tensor.format] = n_bytes.get(tensor.format, 0) + tensor.n_bytes
    return max(n_bytes, key=lambda form: n_bytes[form], default="no format")


def _context(model: Model) -> str:
    return "without end" if model.engine.n_ctx == ENDLESS else f"{model.engine.n_ctx:,}"


def _millions(n: int) -> str:
    return f"{n:,}" if n < 1e6 else f"{n / 1e6:,.1f}M" if n < 1e9 else f"{n / 1e9:,.2f}B"
