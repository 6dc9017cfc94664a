"""Chat with a model, or ask it one question.

In a terminal without a question, `chat` starts an interactive conversation. With a question, or with text on
stdin, it prints one answer to stdout and nothing else.

Next to a question, `chat` reads stdin if it is a file at its beginning, or a pipe on which text arrives
within 3 s or while the model loads. So a `while read -r q` loop over a file asks one question for each line,
and a pipe that stays silent is given up, with a line on stderr. `zeropoint chat - "question"` waits as long
as it takes. A loop over a pipe needs `< /dev/null` after each question, since its pipe looks like any other.
"""

from __future__ import annotations

from typing import Any

import click

from zeropoint.cli import answer, guide_options, help_page, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.stdin import Prompt

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
@click.argument("question", nargs=-1, metavar="[QUESTION]")
@options.engine
@options.some("template")
@options.sampling
@click.option(
    "-s",
    "--system",
    metavar="TEXT",
    help='Instructions that the model reads before the conversation, as in "Answer in one word."',
)
@click.option(
    "--think/--no-think",
    "thinking",
    default=None,
    help="Reason before the answer, or not, if the model's chat template has a switch for it.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object: text, usage, timings, reasoning if any."
)
@answer.logprob_options
@guide_options.options
@click.make_pass_decorator(Console, ensure=True)
def command(
    console: Console,
    /,
    question: tuple[str, ...],
    system: str | None,
    thinking: bool | None,
    as_json: bool,
    **flags: Any,
) -> None:
    """Chat with a model, or ask it one QUESTION.

    Text on stdin is placed before the question; `-` waits for it, with or without a question. In a
    conversation, /help lists the commands, Ctrl-C stops an answer and Ctrl-D exits. On a terminal, what a
    model thinks before it answers is shown dimmed; in a pipe it is left out. A line on stderr reports
    an answer that is cut off by --max-tokens or a full context, or stopped because it repeats itself.
    """
    logprobs = answer.take_logprobs(flags, as_json)
    guide = guide_options.take(flags)
    settings = options.read(flags)
    is_conversation = not question and console.is_interactive and not as_json
    prompt = None if is_conversation else Prompt(question, "question", console)
    with open_model.open_model(settings, console, will_chat=True) as model:
        from zeropoint.engine.session.chat import Conversation

        params = options.sampling_params(settings, model.defaults)
        conversation = Conversation(model, system, thinking=thinking, guide=guide)
        if prompt is None:
            from zeropoint.cli.chat_session import ChatSession
            from zeropoint.cli.repl import Repl

            Repl(ChatSession(console, conversation, params)).run()
        else:
            stream = conversation.ask(prompt.text(), params, **logprobs)
            answer.print_answer(console, stream, params, as_json)
