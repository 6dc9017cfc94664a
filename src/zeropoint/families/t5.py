"""T5: encoder and decoder, a learned bias for distances, unscaled scores, RMSNorm, no biases.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2020,
section 2.1. Hugging Face: `T5Config`. Version 1.1 has a gated network and a head of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import RelativeBias
from zeropoint.blueprint.sources import Source
from zeropoint.errors import BadInput
from zeropoint.families import Kind
from zeropoint.families._hf import HfConfig
from zeropoint.families._names import renamed
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._same import refuse_unless_same

__all__ = ["from_hf", "tensor_map", "to_hf"]

REPEATED = {r"(encoder|decoder)\.embed_tokens\.weight": "embedding.weight"}
IGNORED = (r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",)  # never used
_NETWORKS: dict[str, MLP | Gated] = {
    "relu": MLP(0, "relu", has_bias=False),
    "gated-gelu": Gated(0, "gelu_tanh"),
    "gated-silu": Gated(0, "silu"),
}


def _stack(ours: str, theirs: str, parts: dict[str, str]) -> dict[str, str]:
    """Names of a stack; parts: ours to the number of their layer and what is in it."""
    attention = {"query": "q", "key": "k", "value": "v", "output": "o"}
    names = {}
    for part, layer in parts.items():
        names[f"{ours}.{{}}.{part}_norm"] = f"{theirs}.block.{{}}.layer.{layer[0]}.layer_norm"
        inner = {"up": "wi", "down": "wo"} if part == "ffn" else attention
        for mine, yours in inner.items():
            names[f"{ours}.{{}}.{part}.{mine}"] = f"{theirs}.block.{{}}.layer.{layer}.{yours}"
    bias = f"{theirs}.block.0.layer.0.SelfAttention.relative_attention_bias"
    return names | {f"{ours}.relative_bias": bias}


_HF = {
    "embedding": "shared",
    **_stack("encoder", "encoder", {"attention": "0.SelfAttention", "ffn": "1.DenseReluDense"}),
    "encoder_norm": "encoder.final_layer_norm",
    **_stack(
        "blocks",
        "decoder",
        {"attention": "0.SelfAttention", "cross_attention": "1.EncDecAttention", "ffn": "2.DenseReluDense"},
    ),
    "final_norm": "decoder.final_layer_norm",
    "head": "lm_head",
}
_GATED = {
    f"{ours}.{{}}.ffn.{mine}": f"{theirs}.DenseReluDense.{yours}"
    for ours, theirs in (("encoder", "encoder.block.{}.layer.1"), ("blocks", "decoder.block.{}.layer.2"))
    for mine, yours in (("gate", "wi_0"), ("up", "wi_1"))
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `T5Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    d_model, n_heads = c.get_int("d_model", 1, 2**20), c.get_int("num_heads", 1, 65536)
    d_head = c.get_int("d_kv", 1, 4096, default=64)
    n_buckets = c.get_int("relative_attention_num_buckets", 2, default=32)
    longest = c.get_int("relative_attention_max_distance", default=128)

    def attention(position: RelativeBias) -> Attention:
        is_causal = not position.is_bidirectional
        return Attention(n_heads, n_heads, d_head, position, is_causal=is_causal, scale=1.0)

    d_ff, kind = c.get_int("d_ff", 1, 2**22), c.choose("feed_forward_proj", _NETWORKS, default="relu")
    ffn = MLP(d_ff, kind.activation, False) if isinstance(kind, MLP) else Gated(d_ff, kind.activation)
    norm = RMSNorm(c.get_float("layer_norm_epsilon", default=1e-6))
    encoder = Block(attention(RelativeBias(n_buckets, longest, True)), ffn, norm)
    cross = Attention(n_heads, n_heads, d_head, is_causal=False, scale=1.0)
    decoder = Block(attention(RelativeBias(n_buckets, longest, False)), ffn, norm, cross_attention=cross)
    n_layers = c.get_int("num_layers", 1, 4096)
    is_tied = c.get_bool("tie_word_embeddings", default=True)
    # Older configs say it by the tie alone; transformers 5 ties always, and says it for itself.
    is_scaled = c.get_bool("scale_decoder_outputs", default=is_tied)
    return Blueprint(
        family="t5",
        d_model=d_model,
        n_vocab=c.get_int("vocab_size", 2),
        n_ctx=c.get_int("n_positions", default=512),
        blocks=(decoder,) * c.get_int("num_decoder_layers", 1, 4096, default=n_layers),
        final_norm=norm,
        head=Head(is_tied, scale=d_model**-0.5 if is_scaled else 1.0),
        encoder=(encoder,) * n_layers,
        encoder_norm=norm,
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput where a `T5Config` cannot say it."""
    attention, ffn = blueprint.blocks[0].attention, network_of(blueprint)
    kinds = {(type(known), known.activation): name for name, known in _NETWORKS.items()}
    position = attention.position
    if not isinstance(position, RelativeBias) or (type(ffn), ffn.activation) not in kinds:
        given = f"{type(position).__name__} and a {type(ffn).__name__} of {ffn.activation}"
        raise BadInput(f"blocks[0] has {given}; a t5 has RelativeBias and one of {', '.join(_NETWORKS)}")
    config = {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "d_model": blueprint.d_model,
        "d_kv": attention.d_head,
        "d_ff": ffn.d_ff,
        "num_heads": attention.n_heads,
        "num_layers": len(blueprint.encoder),
        "num_decoder_layers": blueprint.n_layers,
        "n_positions": blueprint.n_ctx,
        "relative_attention_num_buckets": position.n_buckets,
        "relative_attention_max_distance": position.longest_distance,
        "feed_forward_proj": kinds[type(ffn), ffn.activation],
        "layer_norm_epsilon": eps_of(blueprint),
        "vocab_size": blueprint.n_vocab,
        "tie_word_embeddings": blueprint.is_tied,
        "scale_decoder_outputs": blueprint.head is not None and blueprint.head.scale != 1.0,
    }
    refuse_unless_same(blueprint, from_hf(config), "config.json")
    return config


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, Source]:
    """Each tensor of ours among the file's. Raises BadInput for GGUF."""
    if kind == "gguf":
        raise BadInput("t5 is read and written as a Hugging Face folder, not as GGUF; choose that format")
    return renamed(blueprint, _HF | (_GATED if isinstance(network_of(blueprint), Gated) else {}))
