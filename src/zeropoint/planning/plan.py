"""Plan a model before loading it, or even fetching it: does it fit in memory, and how fast will it be?"""

from __future__ import annotations

from zeropoint import _native
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.parts.ffn import FFN, MixtureOfExperts
from zeropoint.engine.native.kv_cache import cached_positions, context_bytes
from zeropoint.engine.native.model_spec import native_recurrence
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, OutOfMemory
from zeropoint.frozen import frozen
from zeropoint.planning.roofline import ceiling_tok_s

__all__ = [
    "DEFAULT_CONTEXT",
    "Plan",
    "check_fits",
    "choose_context",
    "expected_tok_s",
    "make_plan",
    "read_bytes",
]

DEFAULT_CONTEXT = 8192  # tokens; the KV cache takes memory only as it fills
_PROCESS_BYTES = 60_000_000  # resident memory of Python, libraries and tokenizer, measured

# A decode step reaches 95 % of the read rate, plus a constant for each layer (thread barriers, norms,
# attention over few positions): with two threads 14 us on a Zen 4 and 14 to 33 us on a Zen 3, depending on
# the model; see docs/performance.md.
_REACHED = 0.95
_LAYER_S = 20e-6


@frozen
class Plan:
    """Memory and speed of a model on this machine.

    n_cached: positions that the KV cache of one text holds: the context, or the window. n_parameters: stored
    weights. weight_bytes, cache_bytes (of n_cached), work_bytes (activations and the process): memory.
    read_bytes: weight bytes read per token. available_bytes: free memory, None if unknown.
    ceiling_tok_s: bandwidth / read_bytes. expected_tok_s: decoding one sequence at a short context.
    """

    n_ctx: int
    n_cached: int
    n_parameters: int
    weight_bytes: int
    cache_bytes: int
    work_bytes: int
    read_bytes: int
    available_bytes: int | None
    ceiling_tok_s: float
    expected_tok_s: float

    @property
    def needed_bytes(self) -> int:
        """Total memory once the context, or the window, is full."""
        return self.weight_bytes + self.cache_bytes + self.work_bytes

    @property
    def fits(self) -> bool:
        """Whether enough memory is free; true if that is unknown."""
        return self.available_bytes is None or self.needed_bytes <= self.available_bytes


def choose_context(blueprint: Blueprint, requested: int | None) -> int:
    """The context length in tokens: `requested`, else the model's up to DEFAULT_CONTEXT. Raises BadInput."""
    if requested is None:
        return min(blueprint.n_ctx, DEFAULT_CONTEXT)
    if not 1 <= requested <= blueprint.n_ctx:
        raise BadInput(f"context is {requested}; this model takes 1 to {blueprint.n_ctx} tokens")
    return requested


def make_plan(
    blueprint: Blueprint,
    weight_bytes: int,
    n_ctx: int,
    *,
    bandwidth: float,
    available_bytes: int | None,
    read_bytes_s: float | None = None,
    options: EngineOptions | None = None,
) -> Plan:
    """Plan for weights of weight_bytes and a context of n_ctx tokens.

    bandwidth: of memory, bytes/s. read_bytes_s: rate of matrix-vector products in bytes of weights/s; the
    bandwidth if unknown.
    """
    options = options or EngineOptions()
    n_cached = cached_positions(options, n_ctx)
    n_read = read_bytes(blueprint, weight_bytes)
    ceiling = ceiling_tok_s(bandwidth, n_read)
    return Plan(
        n_ctx=n_ctx,
        n_cached=n_cached,
        n_parameters=count_parameters(blueprint),
        weight_bytes=weight_bytes,
        cache_bytes=context_bytes(blueprint, options, n_ctx),
        work_bytes=_work_bytes(blueprint),
        read_bytes=n_read,
        available_bytes=available_bytes,
        ceiling_tok_s=ceiling,
        expected_tok_s=min(expected_tok_s(blueprint, n_read, read_bytes_s or bandwidth), ceiling),
    )


def check_fits(plan: Plan, name: str) -> None:
    """Raise OutOfMemory, with needed and free memory, for a plan that does not fit."""
    if plan.fits or plan.available_bytes is None:
        return
    needed, free = plan.needed_bytes / 1e9, plan.available_bytes / 1e9
    raise OutOfMemory(
        f"{name} needs {needed:.1f} GB of memory with a context of {plan.n_ctx} and {free:.1f} GB is free; "
        "choose a smaller model or a shorter context (--context)"
    )


def expected_tok_s(blueprint: Blueprint, n_read: int, bytes_s: float) -> float:
    """Expected tokens/s of one sequence that reads n_read bytes of weights per token at bytes_s."""
    return 1 / (n_read / (bytes_s * _REACHED) + blueprint.n_layers * _LAYER_S)


def read_bytes(blueprint: Blueprint, weight_bytes: int) -> int:
    """Weight bytes read per token: all but the embedding, of which a token reads one row.

    A tied embedding is read completely, as the head. The embedding's share of the bytes is taken to equal its
    share of the parameters.
    """
    if blueprint.is_tied:
        return weight_bytes
    return weight_bytes - weight_bytes * blueprint.n_vocab * blueprint.d_model // count_parameters(blueprint)


def _work_bytes(blueprint: Blueprint) -> int:
    """Activations of the longest forward pass, and the process itself.

    Layers take turns in the same buffers, each of which is as wide as the widest layer needs.
    """
    blocks = blueprint.blocks
    d_ff = max((_ffn_width(block.ffn) for block in blocks), default=0)
    attentions = [block.attention for block in blocks if block.attention is not None]
    d_query = max((attention.d_query for attention in attentions), default=0)
    per_layer = blueprint.per_layer
    d_per_layer = 0 if per_layer is None else per_layer.width * blueprint.n_layers
    d_recurrence = max((_recurrence_width(block, blueprint.d_model) for block in blocks), default=0)
    widths = 5 * blueprint.d_model + 3 * d_query + 3 * d_ff + d_per_layer + d_recurrence
    if any(attention.has_output_gate for attention in attentions):
        widths += d_query
    return _native.MAX_BATCH_TOKENS * widths * 4 + 32 * blueprint.n_vocab * 4 + _PROCESS_BYTES


def _ffn_width(ffn: FFN | None) -> int:
    if ffn is None:
        return 0
    if not isinstance(ffn, MixtureOfExperts):
        return ffn.d_ff
    return max(ffn.expert.d_ff, 0 if ffn.shared is None else ffn.shared.d_ff)


def _recurrence_width(block: Block, d_model: int) -> int:
    if block.recurrence is None:
        return 0
    return _native.buffer_floats(*native_recurrence(block.recurrence), d_model)
