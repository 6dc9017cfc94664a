"""A plan by model name, before any download: the header alone, or the catalogue's numbers, are enough."""

from __future__ import annotations

from zeropoint import formats
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.catalogue.catalog import ModelSizes
from zeropoint.catalogue.lookup import ModelInfo, lookup
from zeropoint.engine.native.engine import default_threads
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.planning.plan import Plan, choose_context, expected_tok_s, make_plan
from zeropoint.planning.roofline import Rate, available_memory_bytes, bandwidth_bytes_s, weights_rate
from zeropoint.settings import Settings
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf, parse_header
from zeropoint.weights.open_model import gguf_blueprint

__all__ = ["Forecast", "forecast"]

_FEW = 0.02  # the part of all bytes below which the speed of a format does not matter


@frozen
class Forecast:
    """What is known of a model (`prospect`), what it needs here (`plan`), and what was measured for it.

    expected_low, expected_high: tokens/s that a quarter of what was measured was not above or below.
    """

    prospect: ModelInfo
    plan: Plan
    threads: int
    bandwidth_bytes_s: float
    expected_low: float
    expected_high: float


def forecast(
    name: str,
    options: EngineOptions | None = None,
    *,
    settings: Settings | None = None,
) -> Forecast:
    """Plan a model by name, reading at most 32 MiB of it. Raises as `load` does, but fetches nothing."""
    prospect = lookup(name, settings=settings)
    blueprint, weight_bytes, n_bytes = _shape(prospect)
    options = options or EngineOptions()
    threads = options.threads or default_threads()
    bandwidth = bandwidth_bytes_s(threads)
    rate = weights_rate(n_bytes, threads, options.exact) if n_bytes else Rate(bandwidth, bandwidth, bandwidth)
    plan = make_plan(
        blueprint,
        weight_bytes,
        choose_context(blueprint, options.context),
        bandwidth=bandwidth,
        available_bytes=available_memory_bytes(),
        read_bytes_s=rate.bytes_s,
        options=options,
    )
    low, high = (
        min(expected_tok_s(blueprint, plan.read_bytes, speed), plan.ceiling_tok_s)
        for speed in (rate.low, rate.high)
    )
    return Forecast(prospect, plan, threads, bandwidth, low, high)


def _shape(prospect: ModelInfo) -> tuple[Blueprint, int, dict[str, int]]:
    """Blueprint, bytes of all weights, and bytes of those formats that most of them have."""
    if prospect.path is not None:
        return _of_file(open_gguf(prospect.path))
    if prospect.entry is not None:
        numbers, form = prospect.entry.blueprint, prospect.entry.format
        n_bytes = {form: numbers.weight_bytes} if form in formats.names() else {}
        return _of_numbers(numbers), numbers.weight_bytes, n_bytes
    file = prospect.header(lambda head, n_bytes: parse_header(head, n_bytes, prospect.name))
    if file is None:
        raise BadInput(f"nothing is known of {prospect.name} before it is fetched")
    blueprint, weight_bytes, n_bytes = _of_file(file)
    # Of a model in parts only the first header was read; the files' sizes are known all the same.
    all_bytes = max(weight_bytes, prospect.file_bytes - prospect.first_bytes + weight_bytes)
    return blueprint, all_bytes, n_bytes


def _of_file(file: GgufModel) -> tuple[Blueprint, int, dict[str, int]]:
    n_bytes: dict[str, int] = {}
    for tensor in file.tensors.values():
        n_bytes[tensor.format] = n_bytes.get(tensor.format, 0) + tensor.n_bytes
    total = sum(n_bytes.values())
    return gguf_blueprint(file), total, {form: n for form, n in n_bytes.items() if n >= _FEW * total}


def _of_numbers(numbers: ModelSizes) -> Blueprint:
    """Sizes alone: what does not bear on cost (rope, eps) is left at a common value."""
    attention = Attention(
        numbers.n_heads, numbers.n_kv_heads, numbers.d_head, Rope(base=10000.0, n_rotated=numbers.d_head)
    )
    norm = RMSNorm(1e-5)
    block = Block(attention, Gated(numbers.d_ff), norm)
    return Blueprint(
        family="llama",
        d_model=numbers.d_model,
        n_vocab=numbers.n_vocab,
        n_ctx=numbers.n_ctx,
        blocks=(block,) * numbers.n_layers,
        final_norm=norm,
    )
