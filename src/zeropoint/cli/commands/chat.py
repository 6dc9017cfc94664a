"""Chat with a model, or ask it one question.

In a terminal without a question, `chat` starts an interactive conversation. With a question, or with text on
stdin, it prints one answer to stdout and nothing else.

Next to a question, `chat` reads stdin if it is a file at its beginning, or a pipe on which text arrives
within 3 s or while the model loads. So a `while read -r q` loop over a file asks one question for each line,
and a pipe that stays silent is given up, with a line on stderr. `zeropoint chat - "question"` waits as long
as it takes. A loop over a pipe needs `< /dev/null` after each question, since its pipe looks like any other.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from zeropoint.cli import answer, guide_options, help_page, open_model, options
from zeropoint.cli.console import Console
from zeropoint.cli.stdin import Prompt
from zeropoint.errors import BadInput
from zeropoint.settings import Settings

if TYPE_CHECKING:
    from zeropoint.engine.session.model import Model

GROUP = "Use"
_REMOTE = "A model on a server"
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
@help_page.option(
    "--url",
    group=_REMOTE,
    metavar="URL",
    help="Talk to a server that speaks OpenAI's API, as in http://127.0.0.1:11435/v1, instead of loading a "
    "model; --model names one of its models.",
)
@help_page.option(
    "--api-key-file",
    group=_REMOTE,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --url: the file with the API key. Default: the variable OPENAI_API_KEY.",
)
@help_page.option(
    "--prices",
    group=_REMOTE,
    metavar="IN,OUT",
    help="With --url: dollars per million tokens of prompts and of answers, for the total in /stats.",
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
    remote = {name: flags.pop(name) for name in ("url", "api_key_file", "prices")}
    settings = options.read(flags)
    is_conversation = not question and console.is_interactive and not as_json
    prompt = None if is_conversation else Prompt(question, "question", console)
    with _open(settings, console, **remote) as model:
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


def _open(
    settings: Settings, console: Console, *, url: str | None, api_key_file: Path | None, prices: str | None
) -> Model:
    """The model, loaded here, or one on a server, which has what a conversation uses."""
    if url is None:
        if api_key_file is not None or prices is not None:
            raise BadInput("--api-key-file and --prices only apply to --url; add it, or remove them")
        return open_model.open_model(settings, console, will_chat=True)
    from zeropoint.remote.model import RemoteModel

    key = os.environ.get("OPENAI_API_KEY")
    if api_key_file is not None:
        try:
            key = api_key_file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"cannot read the API key in {api_key_file}: {error}") from None
    return cast("Model", RemoteModel(url, settings.get("model").value, key, _prices(prices)))


def _prices(text: str | None) -> tuple[float, float] | None:
    """Parse "0.15,0.6". Raises BadInput."""
    if text is None:
        return None
    try:
        prompt, answer = map(float, text.split(","))
    except ValueError:
        raise BadInput(f"--prices is {text[:40]!r}; expected two numbers, as in 0.15,0.6") from None
    return prompt, answer
