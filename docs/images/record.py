"""Draws docs/images/chat.svg from a real conversation: `python docs/images/record.py` (needs tmux).

The lines below are typed into a terminal, each after the answer before it has ended; what the terminal then
shows is the picture. Nothing is edited. The seed makes the answers the same each time.
"""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

WIDTH, HEIGHT = 92, 22
COMMAND = "zeropoint chat --seed 1"
TYPED = [
    "Name three fruits.",
    "Name three vegetables.",
    "Explain what a neural network is, in one sentence.",
]
PROMPT = re.compile(r"[>$] *")
MOST_SECONDS = 60


def tmux(*arguments: str) -> str:
    """Run tmux on a server of our own."""
    command = ["tmux", "-L", "zeropoint-record", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_for_prompt() -> None:
    """Until the last line is an empty prompt: of the shell, or of a conversation whose answer has ended."""
    for _ in range(MOST_SECONDS * 5):
        time.sleep(0.2)
        lines = tmux("capture-pane", "-p").rstrip("\n").splitlines()
        if lines and PROMPT.fullmatch(lines[-1]):
            return
    raise TimeoutError(tmux("capture-pane", "-p"))


def record() -> str:
    """The terminal after the conversation, with its colours as escape codes."""
    bin_folder = Path(sys.executable).parent
    shell = f"env PATH={shlex.quote(str(bin_folder))}:$PATH PS1='$ ' bash --norc"
    tmux("-f", "/dev/null", "new-session", "-d", "-x", str(WIDTH), "-y", str(HEIGHT), shell)
    try:
        for line in (COMMAND, *TYPED):
            wait_for_prompt()
            tmux("send-keys", "-l", line)
            tmux("send-keys", "Enter")
        wait_for_prompt()
        return tmux("capture-pane", "-e", "-p").rstrip("\n")
    finally:
        tmux("kill-server")


def draw(screen: str) -> str:
    """An SVG of the screen, in whatever fixed-width font the reader has: no font is fetched."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen))
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    return console.export_svg(title="zeropoint chat", code_format=form, unique_id="zeropoint")


if __name__ == "__main__":
    Path(__file__).with_name("chat.svg").write_text(draw(record()), encoding="utf-8")
