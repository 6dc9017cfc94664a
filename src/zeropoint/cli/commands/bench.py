"""Measure how fast a model runs here.

Prefill is reading a prompt, decode is making tokens after one. Decode is set beside its ceiling: every token
reads all weights once, so tokens/s can not exceed memory bandwidth / bytes.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import opening, options
from zeropoint.cli.console import Console

_EXAMPLES = """\b
Examples:
  zeropoint bench
  zeropoint bench --threads 1 --runs 9
  zeropoint bench --model ./my-model.gguf --json
"""


@click.command("bench", epilog=_EXAMPLES)
@click.option(
    "--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Runs; medians are shown."
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: prefill128, decode16, ... in tokens/s."
)
@options.engine
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, runs: int, as_json: bool, **flags: Any) -> None:
    """Measure prefill and decode speed of one sequence, beside the memory's ceiling."""
    from zeropoint.engine.plan import read_bytes
    from zeropoint.engine.roofline import bandwidth_bytes_s
    from zeropoint.evaluate.speed import measure_speed

    settings = options.read(flags)
    with opening.open_model(settings, console) as model:
        engine = model.engine
        weight_bytes = sum(tensor.n_bytes for tensor in model.file.tensors.values())
        speed = measure_speed(
            engine,
            model.blueprint,
            read_bytes(model.blueprint, weight_bytes),
            lambda: bandwidth_bytes_s(engine.n_threads),
            runs,
            lambda done, total: console.notice(f"{done} of {total} measurements"),
        )
        about = {
            "model": model.name,
            "isa": engine.isa,
            "threads": engine.n_threads,
            "exact": engine.is_exact,
            "weight_bytes": weight_bytes,
        }
    if as_json:
        console.json({**about, **speed.flat()})
        return
    rows: list[tuple[str, str, str]] = []
    rows += [(f"prefill {n}", f"{rate:.0f} tok/s", "") for n, rate in speed.prefill.items()]
    for n, decode in speed.decode.items():
        ceiling = f"{decode.share:.0%} of {decode.ceiling_tok_s:.0f} tok/s"
        rows.append((f"decode at {n}", f"{decode.tok_s:.0f} tok/s", ceiling))
    rows += [
        ("first token after 16", f"{speed.first_token_ms:.0f} ms", ""),
        ("peak memory", f"{speed.peak_bytes / 1e6:.0f} MB", f"weights {weight_bytes / 1e6:.0f} MB"),
        ("memory bandwidth", f"{speed.bandwidth_bytes_s / 1e9:.1f} GB/s", f"{engine.n_threads} threads"),
    ]
    console.table(("measure", model.name, "ceiling"), rows)
    console.notice(f"{engine.isa}, {engine.n_threads} threads, median of {runs} runs")
