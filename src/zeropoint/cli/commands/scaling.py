"""Fit a scaling law to a grid of small models, predict the next size, and train it to see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli.console import Console
from zeropoint.cli.extras import require
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.train.scaling.study import Study

_EXAMPLES = """\b
Examples:
  zeropoint scaling
  zeropoint scaling --time-budget 30m --set data.source=shakespeare
  zeropoint scaling --config mine.toml --out runs/my-law --json
"""
_SHOWN = ("E", "A", "alpha", "B", "beta", "size_exponent")


@click.command("scaling", epilog=_EXAMPLES)
@click.argument("recipe", metavar="[RECIPE]", default="scaling")
@click.option("--config", "config_file", type=click.Path(path_type=Path), help="A TOML file, not a recipe.")
@click.option("--set", "sets", metavar="A.B=C", multiple=True, help="Change one number of it; repeatable.")
@click.option("--time-budget", metavar="SPAN", default="10m", show_default=True, help="As in 90s, 10m or 1h.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/scaling"),
    show_default=True,
    help="Folder of the ledger and the picture; one that is there is gone on with.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    recipe: str,
    config_file: Path | None,
    sets: tuple[str, ...],
    time_budget: str,
    out: Path,
    as_json: bool,
) -> None:
    """Train a grid of small models and fit loss against parameters and tokens.

    The sizes and token counts are chosen so that the budget holds; the speed of this machine is measured
    first. The law then says what the next size will reach, that size is trained, and both are shown.
    """
    require("scaling", "torch", "matplotlib")
    from zeropoint.train.config.duration import parse_duration
    from zeropoint.train.config.io import read_config
    from zeropoint.train.scaling.plot import draw_law
    from zeropoint.train.scaling.study import run_study

    config = read_config(config_file or recipe, sets)
    budget_s = parse_duration(time_budget, "--time-budget")
    if budget_s is None:
        raise BadInput("--time-budget is empty; expected a span of time, as in 90s, 10m or 1.5h")
    found = run_study(config, budget_s, out, console.notice)
    draw_law(found, out / "law.png")
    if as_json:
        console.json(_as_json(found))
    else:
        _print(console, found, out)


def _print(console: Console, found: Study, out: Path) -> None:
    law, foreseen = found.fit.law, found.prediction
    console.table(
        ("parameters", "tokens", "loss", "law", "seconds"),
        [
            (
                f"{run.cell.n_parameters:,}",
                f"{run.cell.n_tokens:,}",
                f"{run.loss:.3f}",
                f"{float(law.loss(run.cell.n_parameters, run.cell.n_tokens)):.3f}",
                f"{run.seconds:.1f}",
            )
            for run in (*found.runs, found.checked)
        ],
    )
    console.line()
    console.line("L(N, D) = E + A / N^alpha + B / D^beta, N without embeddings; 90 % intervals")
    for name in _SHOWN:
        low, high = found.fit.interval(name)
        shown = "a in N ~ C^a" if name == "size_exponent" else name
        console.line(f"  {shown:<13} {getattr(law, name):<9.4g} {low:.4g} to {high:.4g}")
    console.line()
    is_inside = foreseen.holds(found.checked.loss)
    console.line(
        f"foreseen for {foreseen.cell.n_parameters:,} parameters and {foreseen.cell.n_tokens:,} tokens: "
        f"{foreseen.loss:.3f} ({foreseen.lower:.3f} to {foreseen.upper:.3f}); "
        f"found: {found.checked.loss:.3f}, {'inside' if is_inside else 'outside'} the interval"
    )
    console.line(f"{found.seconds:.0f} s of training; {out / 'law.png'}, {out / 'ledger.jsonl'}")


def _as_json(found: Study) -> dict[str, Any]:
    foreseen = found.prediction
    return {
        "runs": [
            {
                "d_model": run.cell.d_model,
                "parameters_without_embeddings": run.cell.n_parameters,
                "tokens": run.cell.n_tokens,
                "loss": run.loss,
                "seconds": round(run.seconds, 2),
            }
            for run in (*found.runs, found.checked)
        ],
        "law": {
            name: {"value": getattr(found.fit.law, name), "interval": found.fit.interval(name)}
            for name in _SHOWN
        },
        "prediction": {"loss": foreseen.loss, "interval": (foreseen.lower, foreseen.upper)},
        "measured": found.checked.loss,
        "inside": foreseen.holds(found.checked.loss),
        "machine": found.machine,
        "seconds": round(found.seconds, 1),
    }
