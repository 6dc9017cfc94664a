"""Look inside a model while it reads a text, and change what is there.

`--lens` shows what the model would say if it ended after each layer (nostalgebraist, "Interpreting GPT: the
logit lens", 2020), `--attention` at what each token looks, `--logprobs` how probable each token was and what
might have stood there. The numbers come from the engine that answers, for quantised models too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import answer, intervention_options, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.intervention_options import pair

if TYPE_CHECKING:
    from zeropoint.inspect.report import Report

_EXAMPLES = """\b
Examples:
  zeropoint inspect "The capital of France is"
  zeropoint inspect "The capital of France is" --logprobs --token " Paris" --token " Rome"
  zeropoint inspect "The capital of France is" --attention 23.4 --top 3
  zeropoint inspect "The capital of France is" --logprobs --silence 23.4
  zeropoint inspect "I think dogs are" --steer "I love them" "I hate them" --layer 8 --scale 2
"""


@click.command("inspect", epilog=_EXAMPLES)
@click.argument("text", required=False)
@click.option("--lens", is_flag=True, help="What would follow if the model ended after each layer.")
@click.option("--at", type=int, metavar="N", help="Token of the text whose lens is shown. Default: the last.")
@click.option(
    "--logprobs", is_flag=True, help="How probable each token was, and what else might stand there."
)
@click.option("--attention", multiple=True, metavar="L.H", help="Layer and head whose attention is shown.")
@click.option("--top", type=click.IntRange(1, 1000), default=5, show_default=True, help="Best ones to show.")
@click.option(
    "--token", "tokens", multiple=True, metavar="TEXT", help="A token whose probability to show too."
)
@intervention_options.options
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object with everything that was asked for."
)
@options.engine
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    text: str | None,
    lens: bool,
    at: int | None,
    logprobs: bool,
    attention: Sequence[str],
    top: int,
    tokens: Sequence[str],
    as_json: bool,
    **flags: Any,
) -> None:
    """Show what happens in the model while it reads TEXT (or stdin, `-`); by default the lens.

    Layers and heads are counted from 0.
    """
    from zeropoint.inspect.report import Wanted, report

    asked = intervention_options.asked(flags)
    wanted = Wanted(
        is_lens=lens or not (logprobs or attention),
        is_logprobs=logprobs,
        heads=[pair(head, "--attention", "head") for head in attention],
        top=top,
        tokens=tokens,
        at=at,
    )
    text = answer.read_prompt(text, "text")
    with open_model.open_model(options.read(flags), console) as model:
        found = report(model, text, wanted, asked.interventions(model))
    if as_json:
        console.json(found.as_json())
    else:
        _show(console, found)


def _show(console: Console, found: Report) -> None:
    for number, table in enumerate(found.tables()):
        if number:
            console.line()
        console.line(table.title)
        console.table(table.headers, table.rows)
