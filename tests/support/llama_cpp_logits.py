"""Logits of llama.cpp for a GGUF file, from a separate process, because it may abort."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np

__all__ = ["llama_cpp_logits"]

_SCRIPT = """
import ctypes, json, sys
import llama_cpp as lib, numpy as np
path, ids, n_ctx, out = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
lib.llama_backend_init()
model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
if not model:
    sys.exit("llama.cpp cannot load the file")
params = lib.llama_context_default_params()
params.n_ctx, params.n_batch, params.n_threads = n_ctx, n_ctx, 1
params.type_k = params.type_v = lib.GGML_TYPE_F32
params.flash_attn_type = 0
context = lib.llama_init_from_model(model, params)
batch = lib.llama_batch_init(len(ids), 0, 1)
batch.n_tokens = len(ids)
for i, token in enumerate(ids):
    batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
    batch.seq_id[i][0] = 0
if lib.llama_decode(context, batch):
    sys.exit("llama.cpp cannot decode")
n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(model))
rows = [np.ctypeslib.as_array(lib.llama_get_logits_ith(context, i), (n_vocab,)) for i in range(len(ids))]
np.save(out, np.stack(rows))
"""


def llama_cpp_logits(python: str, path: Path, ids: list[int], n_ctx: int) -> np.ndarray:
    """Logits [T, V] with a float32 cache of n_ctx positions. python: from `llama_cpp.interpreter`."""
    out = path.with_suffix(".npy")
    command = [python, "-c", _SCRIPT, str(path), json.dumps(ids), str(n_ctx), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    logits: np.ndarray = np.load(out)
    return logits
