"""Phi-1, 1.5 and 2: parallel attention and feed-forward after one norm, partial RoPE, biases everywhere.

Li et al., "Textbooks Are All You Need II: phi-1.5", 2023, section 2.1. Hugging Face: `PhiConfig`, model type
`phi`. GGUF: architecture `phi2`, rotary pairs in halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import (
    InMemoryGguf,
    Sizes,
    get_float,
    gguf_tensors,
    read_sizes,
    rope_from_gguf,
    rope_to_gguf,
    write_sizes,
)
from zeropoint.families._hf import ACTIVATIONS, HfConfig, activation_to_hf, rope_from_hf, rope_to_hf
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import eps_of, network_of, rope_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "phi"
PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_HF = HF_LLAMA | {
    "final_norm": "model.final_layernorm",
    "blocks.{}.attention.output": "model.layers.{}.self_attn.dense",
    "blocks.{}.ffn.up": "model.layers.{}.mlp.fc1",
    "blocks.{}.ffn.down": "model.layers.{}.mlp.fc2",
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `PhiConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    c.require("qk_layernorm", False)
    d_model, n_heads = c.get_int("hidden_size", 1, 2**20), c.get_int("num_attention_heads", 1, 65536)
    sizes = Sizes(
        d_model=d_model,
        n_layers=c.get_int("num_hidden_layers", 1, 4096),
        n_ctx=c.get_int("max_position_embeddings", default=2048),
        n_vocab=c.get_int("vocab_size", 2),
        n_heads=n_heads,
        n_kv_heads=c.get_int("num_key_value_heads", 1, n_heads, default=n_heads),
        d_head=max(d_model // n_heads, 1),
        d_ff=c.get_int("intermediate_size", 1, 2**22),
        is_tied=c.get_bool("tie_word_embeddings", default=False),
    )
    ffn = MLP(sizes.d_ff, c.choose("hidden_act", ACTIVATIONS, default="gelu_new"))
    rope = rope_from_hf(c, sizes.d_head, rotary_factor=0.5)
    return _blueprint(sizes, ffn, rope, c.get_float("layer_norm_eps", default=1e-5))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `PhiConfig` cannot express it."""
    a, ffn = blueprint.attention, network_of(blueprint)
    config = {
        "architectures": ["PhiForCausalLM"],
        "model_type": "phi",
        "hidden_size": blueprint.d_model,
        "num_hidden_layers": blueprint.n_layers,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.n_kv_heads,
        "intermediate_size": ffn.d_ff,
        "hidden_act": activation_to_hf(ffn.activation),
        "max_position_embeddings": blueprint.n_ctx,
        "vocab_size": blueprint.n_vocab,
        "layer_norm_eps": eps_of(blueprint),
        "tie_word_embeddings": blueprint.is_tied,
        "partial_rotary_factor": 1.0,
        **rope_to_hf(rope_of(blueprint), a.d_head, blueprint.n_ctx),
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    sizes = read_sizes(model, "phi2")
    rope = rope_from_gguf(model, "phi2", sizes.d_head, is_interleaved=False)
    eps = get_float(model, "phi2.attention.layer_norm_epsilon", 1e-12, 1.0)
    return _blueprint(sizes, MLP(sizes.d_ff, "gelu_tanh"), rope, eps)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `phi2` cannot express it."""
    metadata = write_sizes(blueprint, "phi2") | rope_to_gguf(rope_of(blueprint), "phi2")
    metadata["phi2.attention.layer_norm_epsilon"] = eps_of(blueprint)
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    return permute_rotary(
        rename_tensors(blueprint, GGUF if kind == "gguf" else _HF), blueprint, is_interleaved=False
    )


def _blueprint(s: Sizes, ffn: MLP, rope: Rope, eps: float) -> Blueprint:
    norm = LayerNorm(eps)
    attention = Attention(s.n_heads, s.n_kv_heads, s.d_head, rope, bias="all")
    return Blueprint(
        family="phi2",
        d_model=s.d_model,
        n_vocab=s.n_vocab,
        n_ctx=s.n_ctx,
        blocks=(Block(attention, ffn, norm, "parallel"),) * s.n_layers,
        final_norm=norm,
        head=Head(is_tied=s.is_tied, has_bias=True),
    )
