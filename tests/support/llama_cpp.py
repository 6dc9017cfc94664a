"""llama.cpp in a process of its own, since it may end it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["interpreter", "run_llama_cpp"]

_SCRIPT = """
import json, sys, llama_cpp
path, ids, n = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
f32 = llama_cpp.GGML_TYPE_F32
model = llama_cpp.Llama(path, n_ctx=64, n_threads=1, n_batch=64, type_k=f32, type_v=f32, verbose=False)
made = []
for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
    made.append(int(token))
    if len(made) == n:
        break
text = model.tokenize(sys.argv[4].encode(), add_bos=False, special=True) if len(sys.argv) > 4 else None
print(json.dumps({"made": made, "ids": text}))
"""


def interpreter() -> str:
    """An interpreter that has llama_cpp: the one that ZEROPOINT_LLAMA_CPP names, else this one; or a skip."""
    python = os.environ.get("ZEROPOINT_LLAMA_CPP") or sys.executable
    found = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, check=False, timeout=60)
    if found.returncode:
        pytest.skip("llama_cpp cannot be imported; install llama-cpp-python or set ZEROPOINT_LLAMA_CPP")
    return python


def run_llama_cpp(
    python: str, path: Path, ids: list[int], text: str | None = None, *, n_tokens: int = 16
) -> dict[str, list[int]]:
    """made: greedy tokens after `ids`; ids: those of `text`, if it is given."""
    command = [python, "-c", _SCRIPT, str(path), json.dumps(ids), str(n_tokens)]
    done = subprocess.run(
        command + ([text] if text else []), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, list[int]] = json.loads(done.stdout.splitlines()[-1])
    return result
