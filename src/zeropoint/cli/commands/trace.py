"""Show every matrix of a transformer made by hand, by name, while it reads a text."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from zeropoint.cli import matrix_view
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.learn.handmade.trace import Matrix, Run

_PREFIX = "handmade:"
_EXAMPLES = """\b
Examples:
  zeropoint trace handmade:aab aabaab
  zeropoint trace handmade:aab aabaab --at 5
  zeropoint trace handmade:brackets "(()" --only weights
  zeropoint trace handmade:previous abc --write previous.gguf
"""


@click.command("trace", epilog=_EXAMPLES)
@click.argument("program", metavar="handmade:PROGRAM")
@click.argument("text")
@click.option("--at", type=int, help="Stop after so many characters of TEXT; by default all are read.")
@click.option("--only", metavar="WORD", help="Only the matrices with this word in their name.")
@click.option("--write", metavar="FILE", help="Write the program as a GGUF file too.")
@click.option("--plain", is_flag=True, help="Plain text, as in a pipe or without colour.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    program: str,
    text: str,
    at: int | None,
    only: str | None,
    write: str | None,
    plain: bool,
    as_json: bool,
) -> None:
    """Show every matrix of a handmade PROGRAM while it reads TEXT, and what comes next.

    Programs: aab (continue aabaab...), previous (repeat the token before the last), brackets (close what is
    open). A row of a matrix is a token ("2:b": b at position 2) or a named column of the residual stream.
    On a terminal with colour numbers are shaded by their size.
    """
    require_torch("trace")
    from pathlib import Path

    from zeropoint.learn.handmade import programs
    from zeropoint.learn.handmade.gguf import write_program
    from zeropoint.learn.handmade.trace import run

    if not program.startswith(_PREFIX):
        listed = ", ".join(f"{_PREFIX}{name}" for name in programs.names())
        raise BadInput(f"cannot trace {program}; expected one of {listed}")
    chosen = programs.program(program.removeprefix(_PREFIX))
    traced = run(chosen, text, at)
    steps = [step for step in traced.steps if only is None or only in step.name]
    if not steps:
        raise BadInput(f"no matrix has `{only}` in its name; try query, weights, mix, output or logits")
    if write is not None:
        write_program(chosen, Path(write))
        console.notice(f"wrote {write}")
    if as_json:
        console.json(_as_json(traced, steps))
        return
    is_shaded = not plain and console.has_color(sys.stdout)
    if is_shaded:
        console.notice("blue is above zero, red below, deeper is further; a dot is zero")
    for step in steps:
        (matrix_view.show_shaded if is_shaded else matrix_view.show_plain)(console, step)
    verdict = "right" if traced.answer == traced.right else f"wrong: {traced.right} is right"
    console.line(f"after {traced.text} comes {traced.answer} ({verdict})")


def _as_json(traced: Run, steps: list[Matrix]) -> dict[str, object]:
    return {
        "text": traced.text,
        "answer": traced.answer,
        "right": traced.right,
        "matrices": [
            {
                "name": step.name,
                "about": step.about,
                "rows": step.rows,
                "columns": step.columns,
                "values": step.values.tolist(),
            }
            for step in steps
        ],
    }
