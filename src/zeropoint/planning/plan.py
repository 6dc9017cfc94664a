"""Before a model is loaded, or even fetched: does it fit, and how fast will it be?"""

from __future__ import annotations

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.parts.ffn import MixtureOfExperts
from zeropoint.engine.native.kv_cache import cache_element, cached_positions, context_bytes
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

DEFAULT_CONTEXT = 8192  # positions; the cache's memory is used only as far as it is filled
_ROWS = 256  # tokens of one pass (native/model/forward.hpp, kMostTokens)
_PROCESS_BYTES = 60_000_000  # Python, libraries and tokenizer, measured as resident memory

# Part of the speed of reading alone that a decode step reaches, and what a layer costs besides (meeting of
# the threads, norms, attention over few positions): with two threads 14 microseconds on a Zen 4, 14 to 33 on
# a Zen 3, by model; see docs/performance.md.
_REACHED = 0.95
_LAYER_S = 20e-6


@frozen
class Plan:
    """What a model needs and gives on this machine.

    n_kept: positions of the cache, the context or a window of it. n_parameters: weights stored.
    weight_bytes, cache_bytes (of n_kept), work_bytes: memory.
    read_bytes: bytes a token reads at a short context. available_bytes: memory to be had, None if unknown.
    ceiling_tok_s: bandwidth / read_bytes. expected_tok_s: decoding one sequence.
    """

    n_ctx: int
    n_kept: int
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
        """All memory once the context, or the window, is full."""
        return self.weight_bytes + self.cache_bytes + self.work_bytes

    @property
    def fits(self) -> bool:
        """Whether it can be had (true where that is unknown)."""
        return self.available_bytes is None or self.needed_bytes <= self.available_bytes


def choose_context(blueprint: Blueprint, wanted: int | None) -> int:
    """Positions of the cache: `wanted`, or the model's own up to DEFAULT_CONTEXT. Raises BadInput."""
    if wanted is None:
        return min(blueprint.n_ctx, DEFAULT_CONTEXT)
    if not 1 <= wanted <= blueprint.n_ctx:
        raise BadInput(f"--context is {wanted}; this model takes 1 to {blueprint.n_ctx} tokens")
    return wanted


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
    """The plan for weights of so many bytes and a context of n_ctx.

    bandwidth: of the memory, bytes/s. read_bytes_s: of products with one token, if known, or else the same.
    """
    options = options or EngineOptions()
    element = cache_element(options)
    n_kept = cached_positions(options, n_ctx)
    n_read = read_bytes(blueprint, weight_bytes)
    ceiling = ceiling_tok_s(bandwidth, n_read)
    return Plan(
        n_ctx=n_ctx,
        n_kept=n_kept,
        n_parameters=count_parameters(blueprint),
        weight_bytes=weight_bytes,
        cache_bytes=context_bytes(blueprint, n_kept, element),
        work_bytes=_work_bytes(blueprint),
        read_bytes=n_read,
        available_bytes=available_bytes,
        ceiling_tok_s=ceiling,
        expected_tok_s=min(expected_tok_s(blueprint, n_read, read_bytes_s or bandwidth), ceiling),
    )


def check_fits(plan: Plan, name: str) -> None:
    """Raise OutOfMemory in one sentence with both numbers where a plan does not fit."""
    if plan.fits or plan.available_bytes is None:
        return
    needed, there = plan.needed_bytes / 1e9, plan.available_bytes / 1e9
    raise OutOfMemory(
        f"{name} needs {needed:.1f} GB of memory with a context of {plan.n_ctx} and {there:.1f} GB is free; "
        "choose a smaller model or a shorter --context"
    )


def expected_tok_s(blueprint: Blueprint, n_read: int, bytes_s: float) -> float:
    """Tokens a second of one sequence where products with one token go through weights at that speed."""
    return 1 / (n_read / (bytes_s * _REACHED) + blueprint.n_layers * _LAYER_S)


def read_bytes(blueprint: Blueprint, weight_bytes: int) -> int:
    """Weight bytes that one token reads: all but the embedding, of which it reads a row.

    A tied embedding is read whole, as the head. Its share of the bytes is taken to be its share of the
    parameters.
    """
    if blueprint.is_tied:
        return weight_bytes
    return weight_bytes - weight_bytes * blueprint.n_vocab * blueprint.d_model // count_parameters(blueprint)


def _work_bytes(blueprint: Blueprint) -> int:
    """Activations of one pass and the process itself."""
    block = blueprint.blocks[0]
    ffn = block.ffn
    d_ff = 0 if ffn is None else ffn.expert.d_ff if isinstance(ffn, MixtureOfExperts) else ffn.d_ff
    widths = 5 * blueprint.d_model + 3 * block.attention.d_query + 3 * d_ff
    return _ROWS * widths * 4 + 32 * blueprint.n_vocab * 4 + _PROCESS_BYTES
