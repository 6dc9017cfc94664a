"""Follow a tiny handmade transformer, number by number.

The handmade models are small enough to follow number by number. See Theia Vogel, "I made a transformer by
hand (no training!)", 2023.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from zeropoint.cli import help_page, matrix_view
from zeropoint.cli.answer import usage
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.cli.names import program_names
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.learn.handmade.dsl import Program
    from zeropoint.learn.handmade.trace import Matrix, ProgramTrace

_PREFIX = "handmade:"
_WIDTH = 100  # of the introduction, in characters
GROUP = "Look inside"
_EXAMPLES = """\b
Examples:
  zeropoint trace handmade:aab aabaab
  zeropoint trace handmade:aab aabaab --at 5
  zeropoint trace handmade:brackets "(()" --only weights
  zeropoint trace handmade:previous abc --write previous.gguf
"""


@click.command("trace", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("program", metavar="handmade:PROGRAM", shell_complete=program_names)
@click.argument("text")
@click.option("--at", type=int, metavar="N", help="Read only the first N characters of TEXT, as in 3.")
@click.option(
    "--only",
    metavar="WORD",
    help="Print only the matrices with this word in their name, as in query.",
)
@click.option(
    "--write", metavar="FILE", help="Also write the model as a GGUF file, which the engine can run."
)
@click.option("--plain", is_flag=True, help="Print matrices as plain text, without shading.")
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
    """Show every number that a tiny transformer computes as it reads TEXT, and the letter it predicts.

    Its weights were chosen by hand, not trained, so every step can be followed; see docs/handmade.md.
    PROGRAM is aab (continue aabaab...), previous (repeat the token before the last) or brackets (close open
    brackets). Rows and columns are tokens ("2:b" is b at position 2) or named columns of the residual stream.
    On a colour terminal, numbers are shaded by value.
    """
    require_torch("trace")
    from pathlib import Path

    from zeropoint.learn.handmade import programs
    from zeropoint.learn.handmade.gguf import write_program
    from zeropoint.learn.handmade.trace import trace_program

    if not program.startswith(_PREFIX):
        listed = ", ".join(f"{_PREFIX}{name}" for name in programs.names())
        raise BadInput(f"cannot trace {program}; expected one of {listed}")
    if write is not None and not write.endswith(".gguf"):
        raise BadInput(f"--write {write} must end in .gguf, so that other commands open the file")
    selected = programs.program(program.removeprefix(_PREFIX))
    traced = trace_program(selected, text, at)
    steps = [step for step in traced.steps if only is None or only in step.name]
    if not steps:
        raise BadInput(f"no matrix has `{only}` in its name; try query, weights, context, output or logits")
    if write is not None:
        write_program(selected, Path(write))
        console.notice(f"wrote {write}")
    if as_json:
        console.json(_as_json(traced, steps))
        return
    is_shaded = not plain and console.has_color(sys.stdout)
    for sentence in _introduction(selected, traced, only, is_shaded):
        console.line(textwrap.fill(sentence, _WIDTH))
    console.line()
    for step in steps:
        (matrix_view.show_shaded if is_shaded else matrix_view.show_plain)(console, step)
    verdict = "correct" if traced.prediction == traced.expected else f"wrong; expected {traced.expected}"
    console.line(f"after {traced.text}, the model predicts {traced.prediction} ({verdict})")


def _introduction(program: Program, traced: ProgramTrace, only: str | None, is_shaded: bool) -> Iterator[str]:
    """Three sentences: what the program is, what is shown, and how to read it."""
    yield (
        f"The program {program.name} is a transformer whose weights were chosen by hand, not trained, for "
        f"one task: {program.description}{'' if program.description.endswith('.') else '.'}"
    )
    which = "every matrix" if only is None else f"every matrix with `{only}` in its name"
    yield (
        f"Below is {which}, in the order in which the model computes them as it reads {traced.text}: from "
        "the embeddings through the attention heads to the logits, of which the largest is its prediction."
    )
    position, character = len(traced.text) - 1, traced.text[-1]
    shades = "; blue is positive, red is negative, and darker is larger" if is_shaded else ""
    yield (
        f'Rows and columns are tokens ("{position}:{character}" is {character} at position {position}) or '
        f"named columns of the residual stream, and a dot is zero{shades}."
    )


def _as_json(traced: ProgramTrace, steps: list[Matrix]) -> dict[str, object]:
    return {
        "text": traced.text,
        "usage": usage(len(traced.text)),
        "prediction": traced.prediction,
        "expected": traced.expected,
        "matrices": [
            {
                "name": step.name,
                "description": step.description,
                "rows": step.rows,
                "columns": step.columns,
                "values": step.values.tolist(),
            }
            for step in steps
        ],
    }
