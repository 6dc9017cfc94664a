"""Compute published numbers again: published, ours, tolerance, verdict, source, explanation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli.console import Console

if TYPE_CHECKING:
    from zeropoint.learn.claim import Outcome, Value

_EXAMPLES = """\b
Examples:
  zeropoint verify
  zeropoint verify 16 17 18
  zeropoint verify --slow --json > numbers.json
"""


@click.command("verify", epilog=_EXAMPLES)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1)
@click.option("--slow", is_flag=True, help="Those that take minutes too.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(
    context: click.Context, console: Console, /, numbers: tuple[str, ...], slow: bool, as_json: bool
) -> None:
    """Compute the published numbers of the resources again and say which hold.

    A number that does not hold is printed with the reason. The exit code is 1 where one differs unexpectedly.
    """
    from zeropoint.learn import verify

    claims = verify.chosen(numbers, has_slow=slow)
    outcomes = []
    for outcome in verify.run(claims):
        outcomes.append(outcome)
        if not as_json:
            _print(console, outcome)
    if as_json:
        console.json(_as_json(outcomes))
    n_held = sum(outcome.holds for outcome in outcomes)
    seconds = sum(outcome.seconds for outcome in outcomes)
    console.notice(f"{n_held} of {len(outcomes)} hold, computed in {seconds:.0f} s")
    if any(outcome.verdict in ("differs", "failed") for outcome in outcomes):
        context.exit(1)


def _print(console: Console, outcome: Outcome) -> None:
    """A claim as a paragraph on a terminal, which no table of so many columns fits; in a pipe as a row."""
    claim = outcome.claim
    lines = {
        "published": shown(claim.published),
        "ours": shown(outcome.ours),
        "tolerance": f"{claim.tolerance:g}",
        "verdict": outcome.verdict,
        "reason": outcome.problem or claim.reason,
        "source": claim.source,
        "see": claim.explained_by,
    }
    if not sys.stdout.isatty():
        console.table((), [(claim.number, claim.about, *lines.values())])
        return
    console.line(f"{claim.number:<4} {claim.about}")
    for name, value in lines.items():
        if value:
            console.line(f"     {name:<10} {value}")


def shown(value: Value | None) -> str:
    """Whole numbers whole, others with seven digits; a row with spaces between."""
    if value is None:
        return "-"
    row = value if isinstance(value, tuple) else (value,)
    return " ".join(f"{x:,.0f}" if float(x).is_integer() else f"{x:.7g}" for x in row)


def _as_json(outcomes: list[Outcome]) -> dict[str, Any]:
    return {
        "claims": [
            {
                "number": outcome.claim.number,
                "about": outcome.claim.about,
                "published": outcome.claim.published,
                "ours": outcome.ours,
                "tolerance": outcome.claim.tolerance,
                "verdict": outcome.verdict,
                "reason": outcome.problem or outcome.claim.reason,
                "source": outcome.claim.source,
                "explained_by": outcome.claim.explained_by,
                "seconds": round(outcome.seconds, 3),
            }
            for outcome in outcomes
        ],
        "n_held": sum(outcome.holds for outcome in outcomes),
        "n_claims": len(outcomes),
    }
