"""GPT-2: learned positions, pre-norm with LayerNorm, biases everywhere, a tied head.

Radford et al., "Language Models are Unsupervised Multitask Learners", 2019, section 2.3. Hugging Face:
`GPT2Config`, whose `Conv1D` stores [in, out] with query, key and value fused. GGUF: architecture `gpt2`,
fused too, but [out, in].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Learned
from zeropoint.blueprint.sources import Rename, Rows, TensorSource, Transposed
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, Sizes, get_float, gguf_tensors, read_sizes, write_sizes
from zeropoint.families._hf import ACTIVATIONS, HfConfig, activation_to_hf
from zeropoint.families._names import GGUF, fuse_rows, rename_tensors
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "transformer."
IGNORED = (r".*\.attn\.(bias|masked_bias)",)  # the causal mask, stored as a buffer
_HF = {
    "embedding": "transformer.wte",
    "embedding.position": "transformer.wpe",
    "final_norm": "transformer.ln_f",
    "head": "lm_head",
    "blocks.{}.attention_norm": "transformer.h.{}.ln_1",
    "blocks.{}.attention.query": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.key": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.value": "transformer.h.{}.attn.c_attn",
    "blocks.{}.attention.output": "transformer.h.{}.attn.c_proj",
    "blocks.{}.ffn_norm": "transformer.h.{}.ln_2",
    "blocks.{}.ffn.up": "transformer.h.{}.mlp.c_fc",
    "blocks.{}.ffn.down": "transformer.h.{}.mlp.c_proj",
}
_QKV = ("attention.query", "attention.key", "attention.value")


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `GPT2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    for key, supported in (
        ("scale_attn_weights", True),
        ("scale_attn_by_inverse_layer_idx", False),
        ("add_cross_attention", False),
    ):
        c.require(key, supported)
    d_model, n_heads = c.get_int("n_embd", 1, 2**20), c.get_int("n_head", 1, 65536)
    sizes = Sizes(
        d_model=d_model,
        n_layers=c.get_int("n_layer", 1, 4096),
        n_ctx=c.get_int("n_positions"),
        n_vocab=c.get_int("vocab_size", 2, default=50257),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=max(d_model // n_heads, 1),
        d_ff=c.get_int("n_inner", 1, 2**22, default=4 * d_model),
        is_tied=c.get_bool("tie_word_embeddings", default=True),
    )
    ffn = MLP(sizes.d_ff, c.choose("activation_function", ACTIVATIONS, default="gelu_new"))
    return _blueprint(sizes, ffn, c.get_float("layer_norm_epsilon", default=1e-5))


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `GPT2Config` cannot express it."""
    ffn = network_of(blueprint)
    config = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": blueprint.n_vocab,
        "n_positions": blueprint.n_ctx,
        "n_ctx": blueprint.n_ctx,
        "n_embd": blueprint.d_model,
        "n_layer": blueprint.n_layers,
        "n_head": blueprint.attention.n_heads,
        "n_inner": ffn.d_ff,
        "activation_function": activation_to_hf(ffn.activation),
        "layer_norm_epsilon": eps_of(blueprint),
        "tie_word_embeddings": blueprint.is_tied,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    sizes = read_sizes(model, "gpt2")
    eps = get_float(model, "gpt2.attention.layer_norm_epsilon", 1e-12, 1.0)
    return _blueprint(sizes, MLP(sizes.d_ff, "gelu_tanh"), eps)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `gpt2` cannot express it."""
    metadata = write_sizes(blueprint, "gpt2")
    metadata["gpt2.attention.layer_norm_epsilon"] = eps_of(blueprint)
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    if kind == "gguf":
        return fuse_rows(rename_tensors(blueprint, GGUF), blueprint, _QKV, "blk.{}.attn_qkv")
    names = fuse_rows(rename_tensors(blueprint, _HF), blueprint, _QKV, "transformer.h.{}.attn.c_attn")
    return {ours: _transpose_conv1d(ours, source) for ours, source in names.items()}


def _transpose_conv1d(ours: str, source: TensorSource) -> TensorSource:
    """Transpose matrices within blocks, which are Conv1D modules and stored [in, out]."""
    if not ours.endswith(".weight") or not (".attention." in ours or ".ffn." in ours):
        return source
    if isinstance(source, Rows):
        return Rows(Transposed(source.source), source.begin, source.end)
    return Transposed(source) if isinstance(source, Rename) else source


def _blueprint(s: Sizes, ffn: MLP, eps: float) -> Blueprint:
    norm = LayerNorm(eps)
    attention = Attention(s.n_heads, s.n_kv_heads, s.d_head, bias="all")
    return Blueprint(
        family="gpt2",
        d_model=s.d_model,
        n_vocab=s.n_vocab,
        n_ctx=s.n_ctx,
        blocks=(Block(attention, ffn, norm),) * s.n_layers,
        final_norm=norm,
        embedding=Embedding(Learned(s.n_ctx)),
        head=Head(is_tied=s.is_tied),
    )
