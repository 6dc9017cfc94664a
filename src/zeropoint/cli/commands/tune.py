"""Fine-tune a model on your own examples, on this machine.

One line per example, in JSON: messages, prompt and completion, or instruction and output. The result is an
adapter in peft's layout, and a GGUF file that `zeropoint chat` runs.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zeropoint import registry
from zeropoint.cli import help_page, licence_question
from zeropoint.cli.console import Console
from zeropoint.cli.extras import require_torch
from zeropoint.cli.names import format_names, model_names
from zeropoint.errors import BadInput

if TYPE_CHECKING:
    from zeropoint.train.loop.loop import StepResult
    from zeropoint.tune.adapters import Adapter
    from zeropoint.tune.estimate import Estimate
    from zeropoint.tune.run import TuneConfig, TuneReport, TuneResult

GROUP = "Train"
_ADAPTER = "Adapter"
_TRAINING = "Training"
_OBJECTIVES = [n for n in registry.names("zeropoint.tune.objectives") if n != "reward"]
_ADAPTERS = registry.names("zeropoint.tune.adapters")
_EXAMPLES = """\b
Examples:
  zeropoint tune smollm2:135m examples.jsonl                  LoRA on your answers
  zeropoint tune smollm2:135m examples.jsonl --epochs 1 --rank 32 --out runs/tone
  zeropoint tune smollm2:135m pairs.jsonl --objective dpo --learning-rate 5e-5
  zeropoint tune folder/ examples.jsonl --adapter dora --adapter-only
"""


@click.command("tune", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("model", shell_complete=model_names)
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for the run. Default: runs/DATA-tuned.",
)
@click.option(
    "--objective",
    type=click.Choice(_OBJECTIVES),
    default="sft",
    show_default=True,
    help="What to minimize: sft imitates answers, kto reads labels, the others compare chosen and rejected.",
)
@help_page.option(
    "--adapter",
    group=_ADAPTER,
    type=click.Choice(_ADAPTERS),
    default="lora",
    show_default=True,
    help="What to train; freeze trains the last block itself.",
)
@help_page.option(
    "--rank",
    group=_ADAPTER,
    type=click.IntRange(1, 4096),
    metavar="N",
    help="With lora and dora: rank. Default: 16.",
)
@help_page.option(
    "--alpha",
    group=_ADAPTER,
    type=click.FloatRange(min=0, min_open=True),
    metavar="X",
    help="With lora and dora: scale of the update. Default: 32.",
)
@help_page.option(
    "--epochs",
    group=_TRAINING,
    type=click.IntRange(min=1),
    default=3,
    metavar="N",
    show_default=True,
    help="Passes over the examples.",
)
@help_page.option(
    "--steps", group=_TRAINING, type=click.IntRange(min=1), metavar="N", help="Steps, instead of epochs."
)
@help_page.option(
    "--batch",
    "n_rows",
    group=_TRAINING,
    type=click.IntRange(min=1),
    default=8,
    metavar="N",
    show_default=True,
    help="Rows of a batch.",
)
@help_page.option(
    "--context",
    group=_TRAINING,
    type=click.IntRange(min=8),
    default=512,
    metavar="N",
    show_default=True,
    help="Tokens of a row; longer examples are left out.",
)
@help_page.option(
    "--learning-rate",
    group=_TRAINING,
    type=click.FloatRange(min=0, min_open=True),
    default=2e-4,
    metavar="X",
    show_default=True,
    help="Peak learning rate.",
)
@help_page.option(
    "--seed",
    group=_TRAINING,
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    show_default=True,
    help="Of the adapter's weights and the order of examples.",
)
@click.option("--template", metavar="NAME", help="A built-in chat template instead of the model's own.")
@click.option("--adapter-only", is_flag=True, help="Do not write a merged GGUF file.")
@click.option(
    "--to",
    metavar="FORMAT",
    default="Q8_0",
    show_default=True,
    help="Number format of the merged file.",
    shell_complete=format_names,
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
@click.make_pass_decorator(Console, ensure=True)
@click.pass_context
def command(
    ctx: click.Context,
    console: Console,
    /,
    model: str,
    data: Path,
    out: Path | None,
    adapter_only: bool,
    to: str,
    as_json: bool,
    **flags: Any,
) -> None:
    """Fine-tune MODEL on the examples of DATA, a file of JSON lines.

    MODEL is a path or a model name, which is downloaded if necessary. The command estimates time and memory
    before it starts. Ctrl-C finishes the current step and writes what is trained so far.
    """
    require_torch("tuning")
    from zeropoint.convert.convert import check_target
    from zeropoint.tune.examples import read_examples
    from zeropoint.tune.export import export_gguf
    from zeropoint.tune.run import tune

    config = _config(flags)
    folder = out if out is not None else Path("runs") / f"{data.stem}-tuned"
    target = None if adapter_only or not config.adapter.can_merge else folder / f"{folder.name}.gguf"
    if target is not None:
        check_target(target, to, force=False)
    read_examples(data, config.objective.data)  # before anything is downloaded
    result = tune(_resolve(model, console), data, folder, config, _report(console))
    if target is not None:
        with console.progress(f"writing {target.name}") as progress:
            export_gguf(result.opened, result.model, target, to, console.warning, progress)
    if as_json:
        console.json(result.as_json() | {"gguf": None if target is None else str(target)})
    else:
        _print_result(result, target, console)
    if result.was_stopped:
        ctx.exit(130)


def _config(flags: dict[str, Any]) -> TuneConfig:
    """The configuration that the flags describe. Raises BadInput for one that the adapter does not have."""
    from zeropoint.tune.adapters import Adapter
    from zeropoint.tune.objectives import TuningObjective
    from zeropoint.tune.run import TuneConfig

    objective = registry.load_class("zeropoint.tune.objectives", flags["objective"], TuningObjective)  # type: ignore[type-abstract]
    kind = registry.load_class("zeropoint.tune.adapters", flags["adapter"], Adapter)  # type: ignore[type-abstract]
    return TuneConfig(
        objective=objective(),
        adapter=_with_rank(kind(), flags),
        learning_rate=flags["learning_rate"],
        n_epochs=flags["epochs"],
        n_steps=flags["steps"] or 0,
        n_rows=flags["n_rows"],
        n_ctx=flags["context"],
        seed=flags["seed"],
        template=flags["template"],
    )


def _with_rank(adapter: Adapter, flags: dict[str, Any]) -> Adapter:
    from zeropoint.tune.adapters.lora import Lora

    given = {name: flags[name] for name in ("rank", "alpha") if flags[name] is not None}
    if not given:
        return adapter
    if not isinstance(adapter, Lora):
        raise BadInput(f"--{next(iter(given))} is an option of lora and dora, not of {flags['adapter']}")
    return replace(adapter, **given)


def _report(console: Console) -> TuneReport:
    from zeropoint.tune.run import TuneReport

    class Report(TuneReport):
        def on_notice(self, text: str) -> None:
            console.warning(text)

        def on_estimate(self, estimate: Estimate) -> None:
            share = 100 * estimate.n_trained / estimate.n_weights
            console.warning(
                f"{estimate.n_steps:,} steps, about {estimate.seconds / 60:,.1f} minutes and "
                f"{estimate.memory_bytes / 1e9:.1f} GB of memory; {estimate.n_trained:,} of "
                f"{estimate.n_weights:,} weights are trained ({share:.2g} %)"
            )

        def on_step(self, result: StepResult, n_steps: int, seconds: float) -> None:
            every = max(1, n_steps // 20)
            if result.step % every == 0 or result.step in (1, n_steps):
                left_s = seconds / result.step * (n_steps - result.step)
                console.warning(
                    f"step {result.step:,}/{n_steps:,}  loss {result.loss:.4f}  {left_s / 60:,.1f} min left"
                )

    return Report()


def _print_result(result: TuneResult, target: Path | None, console: Console) -> None:
    held = ""
    if result.loss_before is not None and result.loss_after is not None:
        held = f"; held-out loss {result.loss_before:.4f} before, {result.loss_after:.4f} after"
    console.line(f"{result.step:,} steps in {result.seconds:,.0f} s, loss {result.train_loss:.4f}{held}")
    console.line(f"adapter:      {result.adapter_folder}")
    if target is not None:
        console.line(f"use it:       zeropoint chat --model {target}")


def _resolve(name: str, console: Console) -> Path:
    """The model as a path; downloaded if necessary."""
    if (path := Path(name).expanduser()).exists():
        return path
    from zeropoint.catalogue.fetch import resolve

    with console.progress(f"fetching {name}") as report:
        ask = licence_question.ask_licence(console)
        return resolve(name, progress=report, notice=console.notice, ask_licence=ask).path
