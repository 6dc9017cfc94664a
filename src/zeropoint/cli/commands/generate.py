"""Continue a text, without a chat template.

The model reads exactly your text, so this suits base models, experiments and pipes.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import answer, guide_options, help_page, intervention_options, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.stdin import Prompt

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint generate "The first law of thermodynamics"
  zeropoint generate --max-tokens 50 --seed 1 "Once upon a time"
  zeropoint generate --stop "\\n\\n" - < prompt.txt
  zeropoint generate "I think dogs are" --steer "I love them" "I hate them" --layer 8 --scale 2
"""


@click.command("generate", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("prompt", nargs=-1, metavar="[PROMPT]")
@options.engine
@options.sampling
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: text, usage, timings.")
@answer.logprob_options
@guide_options.options
@intervention_options.options
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, prompt: tuple[str, ...], as_json: bool, **flags: Any) -> None:
    """Continue PROMPT, or the text on stdin, and print the continuation.

    Text on stdin is placed before the prompt; `-` waits for it, with or without a prompt. A line on stderr
    reports a text that is cut off by --max-tokens or a full context, or stopped because it repeats itself.
    """
    logprobs = answer.take_logprobs(flags, as_json)
    guide = guide_options.take(flags)
    interventions = intervention_options.parse(flags)
    settings = options.read(flags)
    reader = Prompt(prompt, "prompt", console)
    with open_model.open_model(settings, console) as model:
        params = options.sampling_params(settings, model.defaults)
        edits = interventions.interventions(model)
        stream = model.generate(reader.text(), params, interventions=edits, guide=guide, **logprobs)
        answer.print_answer(console, stream, params, as_json)
