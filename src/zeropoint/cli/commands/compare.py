"""Hold the native engine against the readable torch model, layer by layer.

Both read the same file and the same text. Shown is the worst point of each layer, and the first point at
which the two differ by more than rounding does. Needs torch.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import open_model, options
from zeropoint.cli.completion import model_names
from zeropoint.cli.console import Console

_EXAMPLES = """\b
Examples:
  zeropoint compare
  zeropoint compare ./my-model.gguf --text "The quick brown fox"
  zeropoint compare smollm2:135m --fast --tolerance 0.05
"""
_TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind."


@click.command("compare", epilog=_EXAMPLES)
@click.argument("name", metavar="[MODEL]", required=False, shell_complete=model_names)
@click.option("--text", default=_TEXT, help="What both engines read.")
@click.option(
    "--fast", is_flag=True, help="Compare the fast mode (int8 activations) instead of the exact one."
)
@click.option(
    "--tolerance", type=click.FloatRange(0), help="Difference allowed, as a part of the largest number."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every point.")
@options.some("threads", "isa")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    name: str | None,
    text: str,
    fast: bool,
    tolerance: float | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Compare MODEL in the native engine with the same weights in torch; exit 1 if they differ."""
    from zeropoint.catalogue.fetch import resolve
    from zeropoint.inspect.compare import TOLERANCE, by_layer, compare
    from zeropoint.tokenizers.formats.gguf import load_tokenizer
    from zeropoint.weights.gguf.reader import open_gguf

    settings = options.read({**flags, "model": name})
    found = resolve(open_model.model_name(settings), settings=settings, notice=console.notice)
    ids = load_tokenizer(open_gguf(found.path)).encode(text)
    result = compare(
        found.path,
        ids,
        n_threads=settings.get("threads").value,
        isa=settings.get("isa").value,
        is_exact=not fast,
        tolerance=TOLERANCE if tolerance is None else tolerance,
    )
    first = result.first
    if as_json:
        console.json(
            {
                "model": found.name,
                "tokens": len(ids),
                "tolerance": result.tolerance,
                "first": first and first.name,
                "same_top": result.same_top,
                "points": {p.name: {"difference": p.difference, "largest": p.largest} for p in result.points},
            }
        )
    else:
        rows = [
            (where, p.name, f"{p.difference:.2e}", f"{p.largest:.3g}", f"{p.relative:.1e}")
            for where, p in by_layer(result).items()
        ]
        console.table(("layer", "worst point", "difference", "largest", "part"), rows)
        console.line(f"the same best token at {result.same_top:.0%} of {len(ids)} positions")
        if first is None:
            console.line(f"no point differs by more than {result.tolerance:g} of its largest number")
        else:
            console.line(f"first to differ: {first.name}, by {first.difference:.2e} ({first.relative:.1e})")
    if first is not None:
        raise click.exceptions.Exit(1)
