"""Draw docs/images/chat.svg from a real conversation: `python docs/images/record.py` (needs tmux).

The script types the lines below into a terminal, waiting for each answer to end, and renders the final screen
without editing it. The seed makes the answers reproducible.
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
TIMEOUT_S = 60


def tmux(*arguments: str) -> str:
    """Run a tmux command on a separate server, so that the user's sessions are not affected."""
    command = ["tmux", "-L", "zeropoint-record", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def wait_for_prompt() -> None:
    """Wait until the last line is an empty prompt, of the shell or of the conversation."""
    for _ in range(TIMEOUT_S * 5):
        time.sleep(0.2)
        lines = tmux("capture-pane", "-p").rstrip("\n").splitlines()
        if lines and PROMPT.fullmatch(lines[-1]):
            return
    raise TimeoutError(tmux("capture-pane", "-p"))


def record() -> str:
    """Run the conversation and return the final screen, with colours as escape codes."""
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
    """Render the screen as SVG with the reader's monospace font, so that viewing it downloads no font."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(screen))
    template = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("Fira Code", "ui-monospace, Menlo, Consolas")
    return console.export_svg(title="zeropoint chat", code_format=template, unique_id="zeropoint")


if __name__ == "__main__":
    Path(__file__).with_name("chat.svg").write_text(draw(record()), encoding="utf-8")
