"""Continue a text, without any chat template.

For base models, for experiments and for pipes: what the model is given is exactly the text.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import answer, intervention_options, open_model, options
from zeropoint.cli.console import Console

_EXAMPLES = """\b
Examples:
  zeropoint generate "The first law of thermodynamics"
  zeropoint generate --max-tokens 50 --seed 1 "Once upon a time"
  zeropoint generate --stop "\\n\\n" - < prompt.txt
  zeropoint generate "I think dogs are" --steer "I love them" "I hate them" --layer 8 --scale 2
"""


@click.command("generate", epilog=_EXAMPLES)
@click.argument("prompt", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: text, usage, timings.")
@intervention_options.options
@options.engine
@options.sampling
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, prompt: str | None, as_json: bool, **flags: Any) -> None:
    """Continue PROMPT, or the text on stdin (`-`), and print what the model adds.

    A text that reaches --max-tokens is cut, and stderr says so.
    """
    asked = intervention_options.asked(flags)
    settings = options.read(flags)
    text = answer.read_prompt(prompt, "prompt")
    with open_model.open_model(settings, console) as model:
        params = options.sampling_params(settings, model.defaults)
        answer.print_answer(
            console, model.generate(text, params, interventions=asked.interventions(model)), params, as_json
        )
