"""Talk with a model, or ask it one question.

In a terminal and without a question it is a conversation (see `cli/repl.py`). With a question, or with
text on stdin, one answer goes to stdout and nothing else does.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import answer, open_model, options
from zeropoint.cli.console import Console

_EXAMPLES = """\b
Examples:
  zeropoint chat
  zeropoint chat "Why is the sky blue?"
  zeropoint chat --system "Answer in one word." --temperature 0 "Capital of France?"
  git diff | zeropoint chat "Write a commit message for this change."
  zeropoint chat --json "Name a colour." | python -m json.tool
"""


@click.command("chat", epilog=_EXAMPLES)
@click.argument("question", required=False)
@click.option("-s", "--system", metavar="TEXT", help="What the model is told before the conversation.")
@click.option("--json", "as_json", is_flag=True, help="Answer as one JSON object: text, usage, timings.")
@options.engine
@options.some("template")
@options.sampling
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console, /, question: str | None, system: str | None, as_json: bool, **flags: Any
) -> None:
    """Talk with a model, or ask it one QUESTION.

    A text on stdin goes before the question; `-` is stdin alone. In a conversation, /help lists what
    can be done, Ctrl-C stops an answer and Ctrl-D leaves. An answer that reaches --max-tokens is cut, and
    stderr says so.
    """
    settings = options.read(flags)
    is_conversation = question is None and console.is_interactive and not as_json
    text = "" if is_conversation else answer.read_prompt(question, "question")
    with open_model.open_model(settings, console, will_chat=True) as model:
        from zeropoint.engine.session.chat import Conversation

        params = options.sampling_params(settings, model.defaults)
        conversation = Conversation(model, system)
        if is_conversation:
            from zeropoint.cli.repl import Repl

            Repl(console, conversation, params).run()
        else:
            answer.print_answer(console, conversation.ask(text, params), params, as_json)
