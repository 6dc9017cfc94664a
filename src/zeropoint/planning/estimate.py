"""Plan a model by name, before any download: a file's header or the catalogue's numbers are enough."""

from __future__ import annotations

from zeropoint.engine.machine import available_memory_bytes, default_threads
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadModelFile
from zeropoint.frozen import frozen
from zeropoint.planning.describe import Description, ModelSize, describe
from zeropoint.planning.plan import Plan, choose_context, expected_tok_s, make_plan
from zeropoint.planning.roofline import Rate, bandwidth_bytes_s, weights_rate
from zeropoint.settings import Settings

__all__ = ["Estimate", "estimate", "estimate_speed"]


@frozen
class Estimate:
    """Memory and speed of a model here (`plan`), and the measured bandwidth behind it.

    expected_low, expected_high: tokens/s at the quartiles of the measured rates.
    """

    model: Description
    plan: Plan
    threads: int
    bandwidth_bytes_s: float
    expected_low: float
    expected_high: float


def estimate(
    name: str, options: EngineOptions | None = None, *, settings: Settings | None = None
) -> Estimate:
    """Plan a model by name, reading at most 32 MiB of it. Raises as `load` does, but fetches nothing.

    In particular it raises BadModelFile for a model that zeropoint cannot run.
    """
    options = options or EngineOptions()
    model = describe(name, settings=settings)
    size = model.size
    if size is None:
        raise BadModelFile(model.problem or f"{model.info.name} cannot be run")
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
