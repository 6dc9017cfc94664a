"""Commands under the names that other programs give them, so that what people type works or is answered.

`SHORTCUTS` run a subcommand of ours. `ELSEWHERE` are commands of Ollama and llama.cpp that zeropoint spells
another way or does not need, and `OPTIONS` their options; each gets a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from zeropoint.errors import choices

__all__ = ["ELSEWHERE", "OPTIONS", "SHORTCUTS", "Shortcut", "renamed_option", "unknown_command"]


class Shortcut(NamedTuple):
    """A top-level name of the subcommand `group name`, and its line of help."""

    group: str
    name: str
    summary: str


SHORTCUTS: Mapping[str, Shortcut] = {
    "list": Shortcut("models", "list", "List downloaded models and the catalogue: models list."),
    "ls": Shortcut("models", "list", "The same: models list."),
    "pull": Shortcut("models", "pull", "Download or update models: models pull."),
    "rm": Shortcut("models", "remove", "Delete downloaded models from this disk: models remove."),
    "show": Shortcut("models", "show", "Show the size, licence and architecture of a model: models show."),
}

ELSEWHERE: Mapping[str, str] = {
    "stop": "Ctrl-C ends a server, a chat, a download or a training run (listed by `zeropoint ps`)",
    "create": "`zeropoint convert` makes a GGUF file of a folder, `zeropoint export` one of a training run",
    "quantize": "`zeropoint convert MODEL OUT.gguf --to Q4_0` quantizes a model",
    "perplexity": "`zeropoint bench --quality` measures perplexity",
    "download": "`zeropoint pull` downloads a model",
    "delete": "`zeropoint rm` deletes a downloaded model",
    "remove": "`zeropoint rm` deletes a downloaded model",
    "info": "`zeropoint show` describes a model",
    "version": "`zeropoint --version` prints the version",
}
"""What to say instead of "unknown command"."""

OPTIONS: Mapping[str, str] = {
    "--temp": "--temperature",
    "--ctx-size": "--context",
    "--n-ctx": "--context",
    "--num-ctx": "--context",
    "--n-predict": "--max-tokens",
    "--predict": "--max-tokens",
    "--num-predict": "--max-tokens",
    "--max-new-tokens": "--max-tokens",
    "--repeat-penalty": "--repetition-penalty",
    "--system-prompt": "--system",
    "--chat-template": "--template",
    "--num-thread": "--threads",
    "--cache-type-k": "--cache-type",
    "--outtype": "--to",
}
"""Options of llama.cpp, Ollama and transformers, and ours. Underscores count as dashes."""


def renamed_option(name: str, known: Iterable[str]) -> str | None:
    """The option of a command that does what `name` does elsewhere, if the command has it."""
    ours = OPTIONS.get(name.replace("_", "-"))
    return ours if ours is not None and ours in known else None


def unknown_command(name: str, known: Iterable[str]) -> str:
    """The message for a command that does not exist: what does it instead, or the closest name."""
    if name in ELSEWHERE:
        return f"unknown command `{name}`: {ELSEWHERE[name]}"
    return choices("command", name, known)
