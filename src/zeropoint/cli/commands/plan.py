"""Check whether a model fits in memory, and how fast it will run.

For a catalogue model the plan needs no network; for any other remote model it reads the first megabytes of
the file. The expected speed comes from a short measurement of this machine: its memory bandwidth, and the
speed of matrix products in the model's number formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.names import model_names

if TYPE_CHECKING:
    from zeropoint.planning.estimate import Estimate

_MAX_RATIO = 1.15  # if the high estimate exceeds the low one by more, print the range
GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint plan
  zeropoint plan smollm2:135m --context 2048
  zeropoint plan hf:owner/repo:q8_0 --json
"""


@click.command("plan", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("name", metavar="[MODEL]", required=False, shell_complete=model_names)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@options.some("context", "threads", "exact", "cache_type", "window", "sinks")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, name: str | None, as_json: bool, **flags: Any) -> None:
    """Show how much memory MODEL needs, whether this machine has it, and how fast answers will appear.

    To write a token the processor reads all weights from memory; the time for that sets the speed ceiling.
    The expected speed also counts the arithmetic. For a model that zeropoint cannot run, it says why.
    """
    from zeropoint.planning.estimate import estimate

    settings = options.read({**flags, "model": name})
    open_model.warn_about_threads(settings, console)
    estimated = estimate(open_model.model_name(settings), settings.engine_options(), settings=settings)
    info, plan = estimated.model.info, estimated.plan
    if as_json:
        console.json(
            {
                "model": info.name,
                "source": info.source,
                "licence": info.licence,
                "format": info.format,
                "size_bytes": info.file_bytes,
                "parameters": plan.n_parameters,
                "context_length": plan.n_ctx,
                "weight_bytes": plan.weight_bytes,
                "kv_cache_bytes": plan.cache_bytes,
                "buffer_bytes": plan.work_bytes,
                "needed_bytes": plan.needed_bytes,
                "available_bytes": plan.available_bytes,
                "fits": plan.fits,
                "threads": estimated.threads,
                "memory_bandwidth_bytes_per_second": estimated.bandwidth_bytes_s,
                "ceiling_tokens_per_second": plan.ceiling_tok_s,
                "expected_tokens_per_second": plan.expected_tok_s,
                "expected_tokens_per_second_low": estimated.expected_low,
                "expected_tokens_per_second_high": estimated.expected_high,
            }
        )
        return
    available = "unknown" if plan.available_bytes is None else _size(plan.available_bytes)
    console.table(
        ("plan for", info.name),
        [
            ("source", info.source),
            ("licence", info.licence or "not stated"),
            ("number format", info.format or "not stated"),
            ("file", _size(info.file_bytes)),
            ("parameters", f"{plan.n_parameters / 1e6:,.1f} M"),
            ("weights", _size(plan.weight_bytes)),
            (f"KV cache for {plan.n_cached} tokens", _size(plan.cache_bytes)),
            ("activations and buffers", _size(plan.work_bytes)),
            ("total", _size(plan.needed_bytes)),
            ("available", available),
            ("fits", "yes" if plan.fits else "no; choose a smaller model or a shorter --context"),
            (
                "memory bandwidth",
                f"{estimated.bandwidth_bytes_s / 1e9:.1f} GB/s with {estimated.threads} threads",
            ),
            ("speed ceiling", f"{plan.ceiling_tok_s:.0f} tok/s"),
            ("expected speed", _speed(estimated)),
        ],
    )


def _speed(estimated: Estimate) -> str:
    """The expected speed, with a range if the machine's speed varied during the measurement."""
    low, high = estimated.expected_low, estimated.expected_high
    text = f"{estimated.plan.expected_tok_s:.0f} tok/s"
    if high <= _MAX_RATIO * low:
        return text
    return f"{text} ({low:.0f} to {high:.0f}; this machine's speed varied during the measurement)"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
