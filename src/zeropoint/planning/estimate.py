"""Plan a model by name, before any download: a file's header or the catalogue's numbers are enough."""

from __future__ import annotations

from zeropoint import formats
from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.catalogue.catalog import ModelSizes
from zeropoint.catalogue.lookup import ModelInfo, lookup
from zeropoint.engine.machine import available_memory_bytes, default_threads
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.frozen import frozen
from zeropoint.planning.plan import Plan, choose_context, expected_tok_s, make_plan
from zeropoint.planning.roofline import Rate, bandwidth_bytes_s, weights_rate
from zeropoint.settings import Settings
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf, parse_header
from zeropoint.weights.open_model import gguf_blueprint

__all__ = ["Estimate", "ModelSize", "estimate", "estimate_speed"]

_MIN_SHARE = 0.02  # formats with a smaller share of the bytes do not affect the speed and are not measured


@frozen
class ModelSize:
    """A model's blueprint, the bytes of all its weights, and the bytes in each main number format."""

    blueprint: Blueprint
    weight_bytes: int
    format_bytes: dict[str, int]


@frozen
class Estimate:
    """Memory and speed of a model here (`plan`), and the measured bandwidth behind it.

    expected_low, expected_high: tokens/s at the quartiles of the measured rates.
    """

    model: ModelInfo
    plan: Plan
    threads: int
    bandwidth_bytes_s: float
    expected_low: float
    expected_high: float


def estimate(
    name: str, options: EngineOptions | None = None, *, settings: Settings | None = None
) -> Estimate:
    """Plan a model by name, reading at most 32 MiB of it. Raises as `load` does, but fetches nothing."""
    options = options or EngineOptions()
    model = lookup(name, settings=settings)
    size = _size_of(model)
    threads = options.threads or default_threads()
    bandwidth = bandwidth_bytes_s(threads)
    rate = Rate(bandwidth, bandwidth, bandwidth)
    if size.format_bytes:
        rate = weights_rate(size.format_bytes, threads, options.exact)
    plan, low, high = estimate_speed(size, bandwidth, rate, options)
    return Estimate(model, plan, threads, bandwidth, low, high)


def estimate_speed(
    size: ModelSize, bandwidth: float, rate: Rate, options: EngineOptions
) -> tuple[Plan, float, float]:
    """The plan, and the expected tokens/s at the quartiles of `rate`.

    bandwidth: of memory, bytes/s; the ceiling follows from it. rate: of matrix-vector products, bytes/s; the
    expected speed follows from it but never exceeds the ceiling.
    """
    plan = make_plan(
        size.blueprint,
        size.weight_bytes,
        choose_context(size.blueprint, options.context),
        bandwidth=bandwidth,
        available_bytes=available_memory_bytes(),
        read_bytes_s=rate.bytes_s,
        options=options,
    )
    low, high = (
        min(expected_tok_s(size.blueprint, plan.read_bytes, bytes_s), plan.ceiling_tok_s)
        for bytes_s in (rate.low, rate.high)
    )
    return plan, low, high


def _size_of(model: ModelInfo) -> ModelSize:
    if model.path is not None:
        return _size_of_file(open_gguf(model.path))
    if model.entry is not None:
        sizes, form = model.entry.blueprint, model.entry.format
        format_bytes = {form: sizes.weight_bytes} if form in formats.names() else {}
        return ModelSize(_blueprint_of_sizes(sizes), sizes.weight_bytes, format_bytes)
    file = model.header(lambda head, n_bytes: parse_header(head, n_bytes, model.name))
    if file is None:
        raise BadInput(f"{model.name} cannot be planned before it is fetched; fetch it first")
    size = _size_of_file(file)
    # Of a model in parts only the first header was read, but the sizes of all files are known.
    all_bytes = max(size.weight_bytes, model.file_bytes - model.first_bytes + size.weight_bytes)
    return ModelSize(size.blueprint, all_bytes, size.format_bytes)


def _size_of_file(file: GgufModel) -> ModelSize:
    format_bytes: dict[str, int] = {}
    for tensor in file.tensors.values():
        format_bytes[tensor.format] = format_bytes.get(tensor.format, 0) + tensor.n_bytes
    total = sum(format_bytes.values())
    main = {form: n for form, n in format_bytes.items() if n >= _MIN_SHARE * total}
    return ModelSize(gguf_blueprint(file), total, main)


def _blueprint_of_sizes(sizes: ModelSizes) -> Blueprint:
    """A blueprint of these sizes; what does not affect cost (RoPE base, epsilon) has a common value."""
    attention = Attention(
        sizes.n_heads, sizes.n_kv_heads, sizes.d_head, Rope(base=10000.0, n_rotated=sizes.d_head)
    )
    norm = RMSNorm(1e-5)
    block = Block(attention, Gated(sizes.d_ff), norm)
    return Blueprint(
        family="llama",
        d_model=sizes.d_model,
        n_vocab=sizes.n_vocab,
        n_ctx=sizes.n_ctx,
        blocks=(block,) * sizes.n_layers,
        final_norm=norm,
    )
