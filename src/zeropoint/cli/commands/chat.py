"""Chat with a model, or ask it one question.

In a terminal without a question, `chat` starts an interactive conversation. With a question, or with text on
stdin, it prints one answer to stdout and nothing else.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import answer, help_page, open_model, options
from zeropoint.cli.console import Console

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint chat
  zeropoint chat "Why is the sky blue?"
  zeropoint chat --system "Answer in one word." --temperature 0 "Capital of France?"
  git diff | zeropoint chat "Write a commit message for this change."
  zeropoint chat --json "Name a colour." | python -m json.tool
"""


@click.command("chat", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("question", required=False)
@options.engine
@options.some("template")
@options.sampling
@click.option(
    "-s",
    "--system",
    metavar="TEXT",
    help='Instructions that the model reads before the conversation, as in "Answer in one word."',
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: text, usage, timings.")
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console, /, question: str | None, system: str | None, as_json: bool, **flags: Any
) -> None:
    """Chat with a model, or ask it one QUESTION.

    Text on stdin is placed before the question; `-` reads the question from stdin. In a conversation, /help
    lists the commands, Ctrl-C stops an answer and Ctrl-D exits. An answer that reaches --max-tokens is cut
    off, with a warning on stderr.
    """
    settings = options.read(flags)
    is_conversation = question is None and console.is_interactive and not as_json
    text = "" if is_conversation else answer.read_prompt(question, "question")
    with open_model.open_model(settings, console, will_chat=True) as model:
        from zeropoint.engine.session.chat import Conversation

        params = options.sampling_params(settings, model.defaults)
        conversation = Conversation(model, system)
        if is_conversation:
            from zeropoint.cli.chat_session import ChatSession
            from zeropoint.cli.repl import Repl

            Repl(ChatSession(console, conversation, params)).run()
        else:
            answer.print_answer(console, conversation.ask(text, params), params, as_json)
