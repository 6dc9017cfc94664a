"""Run llama.cpp in a separate process, because it may abort."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

__all__ = ["interpreter", "llama_cpp_logits", "run_llama_cpp"]

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

_LOGITS = """
import json, sys, numpy as np, llama_cpp as L
path, ids, n_chunk, out = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
model = L.llama_model_load_from_file(path.encode(), L.llama_model_default_params())
params = L.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_ubatch = max(len(ids), 64), 64, 64
params.n_threads = params.n_threads_batch = 1
params.type_k = params.type_v = L.GGML_TYPE_F32
params.flash_attn_type = 0  # which would compute in half precision
context = L.llama_init_from_model(model, params)
n_vocab = L.llama_vocab_n_tokens(L.llama_model_get_vocab(model))
batch, rows = L.llama_batch_init(64, 0, 1), []
for start in range(0, len(ids), n_chunk):
    part = ids[start : start + n_chunk]
    batch.n_tokens = len(part)
    for i, token in enumerate(part):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, start + i, 1, 1
        batch.seq_id[i][0] = 0
    assert L.llama_decode(context, batch) == 0
    rows.append(np.ctypeslib.as_array(L.llama_get_logits(context), shape=(len(part), n_vocab)).copy())
np.save(out, np.concatenate(rows))
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


def llama_cpp_logits(python: str, path: Path, ids: list[int], n_chunk: int = 64) -> NDArray[np.float32]:
    """The logits after each of ids, which are read n_chunk (at most 64) at a time: float32 [T, V].

    The file needs no tokenizer if `tokenizer.ggml.model` is "none".
    """
    out = path.with_suffix(".logits.npy")
    command = [python, "-c", _LOGITS, str(path), json.dumps(ids), str(n_chunk), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    logits: NDArray[np.float32] = np.load(out)
    return logits
