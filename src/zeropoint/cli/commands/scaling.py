"""Train small models and predict how well a larger one will do.

The law is that of Hoffmann et al., "Training Compute-Optimal Large Language Models" (Chinchilla), 2022:
L(N, D) = E + A / N^alpha + B / D^beta for N parameters and D training tokens.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint.cli import help_page
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require
from zeropoint.cli.names import preset_names
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.train.scaling.study import Study

GROUP = "Train"
_EXAMPLES = """\b
Examples:
  zeropoint scaling
  zeropoint scaling --time-budget 30m --set data.source=shakespeare
  zeropoint scaling --config mine.toml --out runs/my-law --json
"""
_LAW_PARAMETERS = ("E", "A", "alpha", "B", "beta", "size_exponent")


@click.command("scaling", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("recipe", metavar="[PRESET]", default="scaling", shell_complete=preset_names)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Your own TOML file instead of a preset.",
)
@click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change one setting of the preset, as in data.source=shakespeare. Repeatable.",
)
@click.option(
    "--time-budget",
    metavar="SPAN",
    default="10m",
    show_default=True,
    help="Train for this long in total, as in 90s, 10m or 1h.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/scaling"),
    show_default=True,
    help="Folder for results and the plot. An interrupted study there is resumed.",
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
    """Train a grid of small models and fit their loss as a function of parameters and tokens.

    The command measures this machine's speed and chooses model sizes and token counts that fit the time
    budget. It then predicts the loss of the next larger model, trains that model, and prints both.
    """
    require("scaling", "torch", "matplotlib")
    from zeropoint.train.config.duration import parse_duration
    from zeropoint.train.config.io import read_config
    from zeropoint.train.scaling.plot import draw_law
    from zeropoint.train.scaling.study import run_study

    config = read_config(config_file or recipe, sets)
    budget_s = parse_duration(time_budget, "--time-budget")
    if budget_s is None:
        raise BadInput("--time-budget is empty; give a duration, as in 90s, 10m or 1.5h")
    result = run_study(config, budget_s, out, console.notice)
    draw_law(result, out / "law.png")
    if as_json:
        console.json(_as_json(result))
    else:
        _print(console, result, out)


def _print(console: Console, result: Study, out: Path) -> None:
    law, prediction = result.fit.law, result.prediction
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
            for run in (*result.runs, result.checked)
        ],
    )
    console.line()
    console.line("L(N, D) = E + A / N^alpha + B / D^beta, with N excluding embeddings; 90 % intervals")
    for name in _LAW_PARAMETERS:
        low, high = result.fit.interval(name)
        label = "a in N ~ C^a" if name == "size_exponent" else name
        console.line(f"  {label:<13} {getattr(law, name):<9.4g} {low:.4g} to {high:.4g}")
    console.line()
    is_inside = prediction.contains(result.checked.loss)
    console.line(
        f"predicted for {prediction.cell.n_parameters:,} parameters and {prediction.cell.n_tokens:,} tokens: "
        f"{prediction.loss:.3f} ({prediction.lower:.3f} to {prediction.upper:.3f}); "
        f"measured: {result.checked.loss:.3f}, {'inside' if is_inside else 'outside'} the interval"
    )
    console.line(f"{result.seconds:.0f} s of training; {out / 'law.png'}, {out / 'results.jsonl'}")


def _as_json(result: Study) -> dict[str, Any]:
    prediction = result.prediction
    return {
        "runs": [
            {
                "width": run.cell.d_model,
                "parameters_without_embeddings": run.cell.n_parameters,
                "tokens": run.cell.n_tokens,
                "loss": run.loss,
                "seconds": round(run.seconds, 2),
            }
            for run in (*result.runs, result.checked)
        ],
        "law": {
            name: {"value": getattr(result.fit.law, name), "interval": result.fit.interval(name)}
            for name in _LAW_PARAMETERS
        },
        "prediction": {"loss": prediction.loss, "interval": (prediction.lower, prediction.upper)},
        "measured": result.checked.loss,
        "inside_interval": prediction.contains(result.checked.loss),
        "machine": result.machine,
        "seconds": round(result.seconds, 1),
    }
