"""Weight files as {name: array}: GGUF, safetensors, PyTorch pickles and training checkpoints.

Every file may be malicious, so readers validate all of it. Reading order: `open_model` (any model on disk),
`stored_tensors` (tensors as files hold them), `gguf/` and `safetensors/`, `mapping` (stored tensors to ours
and back), `packing` (tensors on their way into a file).
"""
