"""Run llama.cpp in a separate process, because it may abort."""

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
generated = []
for token in model.generate(ids, temp=0.0, repeat_penalty=1.0):
    generated.append(int(token))
    if len(generated) == n:
        break
text = model.tokenize(sys.argv[4].encode(), add_bos=False, special=True) if len(sys.argv) > 4 else None
print(json.dumps({"generated": generated, "ids": text}))
"""


def interpreter() -> str:
    """A Python with llama_cpp: ZEROPOINT_LLAMA_CPP, else this one. Skips the test if neither has it."""
    python = os.environ.get("ZEROPOINT_LLAMA_CPP") or sys.executable
    probe = subprocess.run([python, "-c", "import llama_cpp"], capture_output=True, check=False, timeout=60)
    if probe.returncode:
        pytest.skip("llama_cpp cannot be imported; install llama-cpp-python or set ZEROPOINT_LLAMA_CPP")
    return python


def run_llama_cpp(
    python: str, path: Path, ids: list[int], text: str | None = None, *, n_tokens: int = 16
) -> dict[str, list[int]]:
    """{"generated": greedy tokens after `ids`, "ids": the token ids of `text`}."""
    command = [python, "-c", _SCRIPT, str(path), json.dumps(ids), str(n_tokens)]
    done = subprocess.run(
        command + ([text] if text else []), capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result: dict[str, list[int]] = json.loads(done.stdout.splitlines()[-1])
    return result
