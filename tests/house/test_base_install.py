"""A base install works without torch: with torch and its relatives hidden, a model loads and answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHAT = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "transformers", "gguf", "safetensors"}:
            raise ModuleNotFoundError(f"{name} is hidden", name=name)

sys.meta_path.insert(0, Hidden())
import zeropoint

with zeropoint.load(sys.argv[1]) as model:
    answer = model.chat("hi", temperature=0, max_tokens=8)
    text = answer.text()
    print(answer.usage.completion_tokens, answer.finish_reason)
    print(len(model.score("some text").logprobs) > 0, model.logits("xyz").shape[0])
"""


@pytest.mark.process
def test_a_chat_without_torch(tiny_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", CHAT, str(tiny_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    first, second = run.stdout.splitlines()
    assert 1 <= int(first.split()[0]) <= 8
    assert second == "True 3"
