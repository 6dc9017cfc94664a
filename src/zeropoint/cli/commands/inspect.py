"""See what a model predicts and attends to as it reads a text.

`--lens` is the logit lens (nostalgebraist, "Interpreting GPT: the logit lens", 2020): the next-token
prediction after each layer. `--attention` prints the weights of one attention head, `--logprobs` the
probability of each token and its likeliest alternatives. `--steer` and `--ablate` modify the forward pass
first. All numbers come from the engine that generates text, including for quantised models.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page, intervention_options, open_model, options
from zeropoint.cli.answer import usage
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require
from zeropoint.cli.intervention_options import pair
from zeropoint.cli.stdin import Prompt
from zeropoint.errors import BadInput
from zeropoint.files.paths import display_path
from zeropoint.options import unescape

if TYPE_CHECKING:
    from zeropoint.inspect.report import Report

GROUP = "Look inside"
_EXAMPLES = """\b
Examples:
  zeropoint inspect "The capital of France is"
  zeropoint inspect "The capital of France is" --logprobs --token " Paris" --token " Rome"
  zeropoint inspect "The capital of France is" --html france.html
  zeropoint inspect "The capital of France is" --attention 23.4 --top 3
  zeropoint inspect "The capital of France is" --logprobs --ablate 23.4
  zeropoint inspect "I think dogs are" --steer "I love them" "I hate them" --layer 8 --scale 2
"""


@click.command("inspect", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("text", nargs=-1, metavar="[TEXT]")
@options.engine
@click.option(
    "--lens",
    is_flag=True,
    help="What the model would predict if it stopped after each layer, the logit lens. This is the default.",
)
@click.option(
    "--at",
    type=int,
    metavar="N",
    help="With --lens: after which token of TEXT to predict, counted from 0. Default: the last.",
)
@click.option(
    "--logprobs",
    is_flag=True,
    help="How likely the model found each token of TEXT, and what it expected instead.",
)
@click.option(
    "--attention",
    multiple=True,
    metavar="L.H",
    help="How much each token attends to each earlier one in head H of layer L, as in 23.4. Repeatable.",
)
@click.option(
    "--top",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=5,
    show_default=True,
    help="List this many of the likeliest tokens.",
)
@click.option(
    "--token",
    "tokens",
    multiple=True,
    metavar="TEXT",
    help='Also show the probability of this token, as in " Paris" with its space or "\\n". Repeatable.',
)
@click.option(
    "--html",
    metavar="FILE",
    help="Draw the views on a web page that needs no network. Without a view: all of them, with every head.",
)
@click.option("--png", metavar="FILE", help="Draw the views as a picture, like --html; needs matplotlib.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object with every selected view.")
@intervention_options.options
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    text: tuple[str, ...],
    lens: bool,
    at: int | None,
    logprobs: bool,
    attention: Sequence[str],
    top: int,
    tokens: Sequence[str],
    html: str | None,
    png: str | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Show what happens inside a model while it reads TEXT (`-` reads stdin).

    By default it shows what the model would predict after each of its layers (the logit lens). Layers, heads
    and token positions count from 0. docs/inspect.md explains every view.
    """
    from zeropoint.files.atomic_write import replace_file
    from zeropoint.inspect.page import MAX_TOKENS
    from zeropoint.inspect.report import ReportOptions, report

    interventions = intervention_options.parse(flags)
    files = _files(html, png)
    has_views, is_drawn = bool(lens or logprobs or attention), bool(files)
    report_options = ReportOptions(
        has_lens=lens or not has_views,
        has_logprobs=logprobs or (is_drawn and not has_views),
        has_overview=is_drawn and not has_views,
        heads=[pair(head, "--attention", "head") for head in attention],
        top=top,
        tokens=[unescape(token) for token in tokens],
        at=at,
        max_tokens=MAX_TOKENS if is_drawn else None,
    )
    prompt = Prompt(text, "text", console)
    with open_model.open_model(options.read(flags), console) as model:
        result = report(model, prompt.text(), report_options, interventions.interventions(model))
    for path, draw in files.items():
        replace_file(path, draw(result))
        console.notice(f"wrote {display_path(path)}")
    if as_json:
        console.json({**result.as_json(), "usage": usage(len(result.ids))})
    elif not is_drawn:
        _show(console, result)


def _files(html: str | None, png: str | None) -> dict[Path, Callable[[Report], bytes]]:
    """The files to write, with the functions that draw them. Raises BadInput."""
    from zeropoint.inspect.page import draw_html
    from zeropoint.inspect.picture import draw_png

    if png is not None:
        require("--png", "matplotlib")
    if html is not None and html == png:
        raise BadInput(f"--html and --png both write {html}; give two names")
    files: dict[Path, Callable[[Report], bytes]] = {}
    if html is not None:
        files[Path(html)] = lambda report: draw_html(report).encode()
    if png is not None:
        files[Path(png)] = draw_png
    for path in files:
        if path.is_dir():
            raise BadInput(f"{display_path(path)} is a folder; give the name of a file to write")
    return files


def _show(console: Console, report: Report) -> None:
    for index, table in enumerate(report.tables()):
        if index:
            console.line()
        console.line(table.title)
        console.table(table.headers, table.rows)
