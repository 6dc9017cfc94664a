"""Recompute published numbers and check that ours agree.

Each claim is a number printed in a paper, book or lecture: a parameter count, an attention score, a loss.
`verify` recomputes it with zeropoint's own code and compares the two.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console

if TYPE_CHECKING:
    from zeropoint.learn.claims.claim import ClaimResult, Value

GROUP = "Check"
_EXAMPLES = """\b
Examples:
  zeropoint verify                        every claim that takes seconds
  zeropoint verify 16 17 18               these claims only
  zeropoint verify --slow --json > numbers.json
"""


@click.command("verify", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1)
@click.option(
    "--slow",
    is_flag=True,
    help="Also check the claims that take minutes; without it, only those that take seconds.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(
    context: click.Context, console: Console, /, numbers: tuple[str, ...], slow: bool, as_json: bool
) -> None:
    """Recompute published numbers and print a verdict for each.

    NUMBER selects claims by their number in the output. The verdict is "holds" if our value is within the
    tolerance of the published one, "does not hold" for a known exception (with the reason), "differs" for an
    unexpected difference and "failed" if the value could not be computed. The exit code is 1 if any claim
    differs or failed.
    """
    from zeropoint.learn.claims.verify import select_claims, verify

    results = []
    for result in verify(select_claims(numbers, has_slow=slow)):
        results.append(result)
        if not as_json:
            _print(console, result)
    if as_json:
        console.json(_as_json(results))
    n_holding = sum(result.holds for result in results)
    seconds = sum(result.seconds for result in results)
    console.notice(f"{n_holding} of {len(results)} claims hold; computed in {seconds:.0f} s")
    if any(result.verdict in ("differs", "failed") for result in results):
        context.exit(1)


def _print(console: Console, result: ClaimResult) -> None:
    """Print a paragraph on a terminal, where so many columns do not fit; a tab-separated row in a pipe."""
    claim = result.claim
    fields = {
        "published": shown(claim.published),
        "ours": shown(result.ours),
        "tolerance": f"{claim.tolerance:g}",
        "verdict": result.verdict,
        "reason": result.problem or claim.reason,
        "source": claim.source,
        "see": claim.explained_by,
    }
    if not sys.stdout.isatty():
        console.table((), [(claim.number, claim.description, *fields.values())])
        return
    console.line(f"{claim.number:<4} {claim.description}")
    for name, value in fields.items():
        if value:
            console.line(f"     {name:<10} {value}")


def shown(value: Value | None) -> str:
    """Integers without decimals, other numbers with seven significant digits, separated by spaces."""
    if value is None:
        return "-"
    row = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{x:,.0f}" if float(x).is_integer() else f"{x:.7g}" for x in row)


def _as_json(results: list[ClaimResult]) -> dict[str, Any]:
    return {
        "claims": [
            {
                "number": result.claim.number,
                "description": result.claim.description,
                "published": result.claim.published,
                "ours": result.ours,
                "tolerance": result.claim.tolerance,
                "verdict": result.verdict,
                "reason": result.problem or result.claim.reason,
                "source": result.claim.source,
                "explained_by": result.claim.explained_by,
                "seconds": round(result.seconds, 3),
            }
            for result in results
        ],
        "holding": sum(result.holds for result in results),
        "total": len(results),
    }
