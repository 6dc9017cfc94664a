"""Chat with the model that you name: `chat --model MODEL`."""

from __future__ import annotations

import click

from zeropoint.cli import help_page
from zeropoint.cli.commands import chat
from zeropoint.cli.names import model_names
from zeropoint.errors import BadInput

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint run smollm2:135m
  zeropoint run ./model.gguf "Why is the sky blue?"
  zeropoint run hf:owner/repo:q8_0 --temperature 0
  zeropoint run shakespeare-char        the training run in runs/
"""


def _refuse_model_option(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise BadInput(f"`zeropoint run` takes the model without --model: zeropoint run {value}")


command = help_page.Command(
    "run",
    callback=chat.command.callback,
    params=[
        click.Argument(["model"], required=False, shell_complete=model_names),
        *(param for param in chat.command.params if param.name != "model"),
        click.Option(
            ["-m", "--model", "refused"], hidden=True, expose_value=False, callback=_refuse_model_option
        ),
    ],
    help="Chat with MODEL, or ask it one QUESTION; without MODEL, with the default model.\n\n"
    "All options are those of `zeropoint chat`.",
    epilog=_EXAMPLES,
)
