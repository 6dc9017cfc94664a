"""Tiny seeded Hugging Face folders of every family, written by our own code from a config."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from zeropoint import families
from zeropoint.blueprint.tensors import parameters
from zeropoint.weights.mapping import LazyTensor, to_stored
from zeropoint.weights.packing import pack
from zeropoint.weights.safetensors.writer import write_shards

__all__ = ["CONFIGS", "write_tiny_folder"]

_LLAMA = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 61,
    "max_position_embeddings": 64,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-05,
    "tie_word_embeddings": False,
    "rope_theta": 10000.0,
}
_GPT2 = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-05,
    "n_embd": 64,
    "n_head": 4,
    "n_layer": 2,
    "n_positions": 64,
    "vocab_size": 61,
}
_LLAMA3 = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
_GELU = {"hidden_act": "gelu_new", "layer_norm_eps": 1e-05}
_GEMMA3: dict[str, Any] = {
    "model_type": "gemma3_text",
    "head_dim": 32,
    "query_pre_attn_scalar": 32,
    "num_hidden_layers": 7,
    "sliding_window": 32,
    "tie_word_embeddings": True,
}
_GEMMA = {
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_act": "gelu_pytorch_tanh",
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "sliding_window": 32,
    "tie_word_embeddings": True,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": _LLAMA,
    "llama, tied": {**_LLAMA, "tie_word_embeddings": True},
    "llama 3.1": {**_LLAMA, "rope_scaling": _LLAMA3, "max_position_embeddings": 131072},
    "mistral": {**_LLAMA, "model_type": "mistral", "sliding_window": 32},
    "qwen2": {**_LLAMA, "model_type": "qwen2"},
    "qwen3": {**_LLAMA, "model_type": "qwen3", "head_dim": 32},
    "mixtral": {**_LLAMA, "model_type": "mixtral", "num_local_experts": 4, "num_experts_per_tok": 2},
    "phi3": {**_LLAMA, "model_type": "phi3", "pad_token_id": 0},
    "gpt2": _GPT2,
    "phi2": {**_LLAMA, "model_type": "phi", "num_key_value_heads": 4, "partial_rotary_factor": 0.5} | _GELU,
    "gemma2": {**_LLAMA, "model_type": "gemma2", "head_dim": 32, "query_pre_attn_scalar": 32} | _GEMMA,
    "smollm3": {**_LLAMA, "model_type": "smollm3", "num_hidden_layers": 4, "pad_token_id": None},
    "ministral3": {**_LLAMA, "model_type": "ministral3", "head_dim": 32},
    "gemma3": {**_LLAMA, **_GEMMA3, "hidden_activation": "gelu_pytorch_tanh"},
}


def write_tiny_folder(folder: Path, config: dict[str, Any], form: str = "F32", **options: Any) -> None:
    """Write config.json and weights in the format `form`. options: those of `write_shards`."""
    folder.mkdir()
    family = families.for_hf(config)
    blueprint = family.from_hf(config)
    rng = np.random.default_rng(7)

    def random(shape: tuple[int, ...]) -> LazyTensor:
        # Values that every unquantized format represents exactly.
        array = (rng.integers(-64, 64, shape) / 256).astype(np.float32)
        return LazyTensor(shape, form, lambda: array)

    weights = {name: random(shape) for name, shape in parameters(blueprint).items()}
    stored = to_stored(weights, family.tensor_map(blueprint, "hf"))
    write_shards(folder, [pack(name, tensor, form) for name, tensor in stored.items()], **options)
    (folder / "config.json").write_text(json.dumps(config))
