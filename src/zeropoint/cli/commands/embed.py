"""Turn texts into vectors, whose cosine says how alike two texts are.

A decoder that was not trained for it orders texts only roughly; an embedding model does it well. An encoder
such as all-MiniLM-L6-v2 is a GGUF file or a Hugging Face folder, and runs in torch.
"""

from __future__ import annotations

import sys
from typing import Any

import click

from zeropoint.cli import help_page, open_model, options
from zeropoint.cli.console import Console
from zeropoint.errors import BadInput

GROUP = "Use"
_EXAMPLES = """\b
Examples:
  zeropoint embed "a cat" "a kitten" "a car"
  zeropoint embed --model all-MiniLM-L6-v2/ "a cat" "a kitten"
  zeropoint embed --json < lines.txt > vectors.jsonl
"""


@click.command("embed", cls=help_page.Command, epilog=_EXAMPLES)
@click.argument("texts", nargs=-1, metavar="[TEXT]...")
@options.engine
@help_page.option(
    "--pooling",
    type=click.Choice(["mean", "last", "cls"]),
    default="mean",
    show_default=True,
    help="Take the mean of the last hidden states, that of the last token, or of the first (cls).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per text: text, embedding.")
@click.make_pass_decorator(Console, ensure=True)
def command(console: Console, /, texts: tuple[str, ...], pooling: str, as_json: bool, **flags: Any) -> None:
    """Print how alike TEXTs are, from -1 to 1; with --json, their vectors.

    Without an argument, each line on stdin is a text.
    """
    settings = options.read(flags)
    if not texts:
        if sys.stdin.isatty():
            raise BadInput("give at least one text, or one per line on stdin")
        texts = tuple(line for line in sys.stdin.read().splitlines() if line.strip())
    if not texts:
        raise BadInput("there is no text; give at least one, or one per line on stdin")
    with open_model.open_embedder(settings, console) as model:
        vectors = model.embed(list(texts), pooling=pooling)
    if as_json:
        for text, vector in zip(texts, vectors.tolist(), strict=True):
            console.json({"text": text, "embedding": vector})
        return
    cosines = vectors @ vectors.T
    names = [str(number + 1) for number in range(len(texts))]
    rows = [
        (f"{n} {text[:40]}", *(f"{c:.3f}" for c in row))
        for n, text, row in zip(names, texts, cosines, strict=True)
    ]
    console.table(("text", *names), rows)
