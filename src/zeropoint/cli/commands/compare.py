"""Compare the fast engine with the PyTorch model, layer by layer.

Both engines run the same weights on the same text. The table lists the largest difference in each layer and
the first tensor that differs by more than rounding error. Needs torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, licence_question, open_model, options
from zeropoint.cli.answer import usage
from zeropoint.cli.console import Console
from zeropoint.cli.names import model_names

if TYPE_CHECKING:
    from zeropoint.inspect.compare import Comparison

GROUP = "Look inside"
_EXAMPLES = """\b
Examples:
  zeropoint compare
  zeropoint compare shakespeare-char            a training run in runs/
  zeropoint compare ./my-model.gguf --text "The quick brown fox"
  zeropoint compare smollm2:135m --fast --tolerance 0.05
"""
_TEXT = "The quick brown fox jumps over the lazy dog, and the dog does not mind."


@click.command("compare", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("name", metavar="[MODEL]", required=False, shell_complete=model_names)
@click.option("--text", default=_TEXT, help="The text that both read.")
@click.option(
    "--fast",
    is_flag=True,
    help="Compare fast mode, which rounds intermediate values to 8 bits, not exact mode.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0),
    metavar="X",
    help="Largest difference to accept, as a share of the tensor's largest value, as in 0.05. "
    "Default: 0.0001.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every tensor.")
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
    """Run MODEL in the native engine and in PyTorch, and compare every number that they compute on the way.

    The exit code is 1 if a tensor differs by more than the tolerance.
    """
    from zeropoint.catalogue.fetch import resolve
    from zeropoint.convert.run_gguf import open_native
    from zeropoint.inspect.compare import TOLERANCE, compare
    from zeropoint.tokenizers.formats.gguf import load_tokenizer

    settings = options.read({**flags, "model": name})
    open_model.warn_about_threads(settings, console)
    model = resolve(
        open_model.model_name(settings),
        settings=settings,
        notice=console.notice,
        ask_licence=licence_question.ask_licence(console),
    )
    ids = load_tokenizer(open_native(model.path)).encode(text)
    result = compare(
        model.path,
        ids,
        n_threads=settings.get("threads").value,
        isa=settings.get("isa").value,
        is_exact=not fast,
        tolerance=TOLERANCE if tolerance is None else tolerance,
    )
    if as_json:
        console.json(_as_json(model.name, len(ids), result))
    else:
        _print(console, len(ids), result)
    if result.first is not None:
        raise click.exceptions.Exit(1)


def _as_json(name: str, n_tokens: int, result: Comparison) -> dict[str, Any]:
    return {
        "model": name,
        "usage": usage(n_tokens),
        "tolerance": result.tolerance,
        "first_difference": result.first and result.first.name,
        "same_top_token_share": result.same_top,
        "tensors": {
            p.name: {"largest_difference": p.difference, "largest_value": p.largest} for p in result.points
        },
    }


def _print(console: Console, n_tokens: int, result: Comparison) -> None:
    from zeropoint.inspect.compare import by_layer

    rows = [
        (layer, p.name, f"{p.difference:.2e}", f"{p.largest:.3g}", f"{p.relative:.1e}")
        for layer, p in by_layer(result).items()
    ]
    console.table(("layer", "tensor", "difference", "largest value", "relative"), rows)
    console.line(f"the engines predict the same token at {result.same_top:.0%} of {n_tokens} positions")
    if (first := result.first) is None:
        console.line(f"no tensor differs by more than {result.tolerance:g} of its largest value")
    else:
        console.line(
            f"first difference: {first.name}, by {first.difference:.2e} ({first.relative:.1e} relative)"
        )
