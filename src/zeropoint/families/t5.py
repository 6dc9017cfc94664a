"""T5: an encoder-decoder with relative position bias, unscaled scores, RMSNorm and no biases.

Raffel et al., "Exploring the Limits of Transfer Learning with a Unified Text-to-Text Transformer", 2020,
section 2.1. Hugging Face: `T5Config`. Version 1.1 has a gated feed-forward network and an untied head. GGUF:
architecture `t5`, whose readers assume a maximum distance of 128.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import RelativeBias
from zeropoint.blueprint.sources import TensorSource
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, Sizes, get_float, gguf_tensors, read_sizes, write_sizes
from zeropoint.families._hf import HfConfig
from zeropoint.families._names import rename_tensors
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

DUPLICATES = {r"(encoder|decoder)\.embed_tokens\.weight": "embedding.weight"}
DROPPED = (r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",)  # unused
_NETWORKS: dict[str, MLP | Gated] = {
    "relu": MLP(0, "relu", has_bias=False),
    "gated-gelu": Gated(0, "gelu_tanh"),
    "gated-silu": Gated(0, "silu"),
}


def _stack(ours: str, stored: str, parts: dict[str, str]) -> dict[str, str]:
    """Hugging Face's names of one stack. parts: our part to theirs, "layer number.module"."""
    attention = {"query": "q", "key": "k", "value": "v", "output": "o"}
    names = {}
    for part, layer in parts.items():
        names[f"{ours}.{{}}.{part}_norm"] = f"{stored}.block.{{}}.layer.{layer[0]}.layer_norm"
        inner = {"up": "wi", "down": "wo"} if part == "ffn" else attention
        for part_name, suffix in inner.items():
            names[f"{ours}.{{}}.{part}.{part_name}"] = f"{stored}.block.{{}}.layer.{layer}.{suffix}"
    bias = f"{stored}.block.0.layer.0.SelfAttention.relative_attention_bias"
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
_HF_GATED = {
    f"{ours}.{{}}.ffn.{part_name}": f"{stored}.DenseReluDense.{suffix}"
    for ours, stored in (("encoder", "encoder.block.{}.layer.1"), ("blocks", "decoder.block.{}.layer.2"))
    for part_name, suffix in (("gate", "wi_0"), ("up", "wi_1"))
}


def _gguf_stack(ours: str, stored: str, parts: dict[str, str]) -> dict[str, str]:
    """GGUF's names of one stack. parts: our part to the prefix of theirs."""
    names = {f"{ours}.relative_bias": f"{stored}.blk.0.attn_rel_b", f"{ours}_norm": f"{stored}.output_norm"}
    for part, suffix in parts.items():
        names[f"{ours}.{{}}.{part}_norm"] = f"{stored}.blk.{{}}.{suffix}_norm"
        inner = ("gate", "up", "down") if part == "ffn" else ("query", "key", "value", "output")
        letters = dict(zip(inner, inner if part == "ffn" else "qkvo", strict=True))
        for part_name, short in letters.items():
            names[f"{ours}.{{}}.{part}.{part_name}"] = f"{stored}.blk.{{}}.{suffix}_{short}"
    return names


_IN_BOTH = {"attention": "attn", "ffn": "ffn"}
_GGUF = {
    "embedding": "token_embd",
    **_gguf_stack("encoder", "enc", _IN_BOTH),
    **_gguf_stack("blocks", "dec", _IN_BOTH | {"cross_attention": "cross_attn"}),
    "final_norm": "dec.output_norm",
    "head": "output",
}
_MAX_DISTANCE = 128  # llama.cpp's constant; GGUF has no key for it


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `T5Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    d_model, n_heads = c.get_int("d_model", 1, 2**20), c.get_int("num_heads", 1, 65536)
    n_layers = c.get_int("num_layers", 1, 4096)
    sizes = Sizes(
        d_model=d_model,
        n_layers=n_layers,
        n_ctx=c.get_int("n_positions", default=512),
        n_vocab=c.get_int("vocab_size", 2),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=c.get_int("d_kv", 1, 4096, default=64),
        d_ff=c.get_int("d_ff", 1, 2**22),
        is_tied=c.get_bool("tie_word_embeddings", default=True),
    )
    n_buckets = c.get_int("relative_attention_num_buckets", 2, default=32)
    longest = c.get_int("relative_attention_max_distance", default=128)
    kind = c.choose("feed_forward_proj", _NETWORKS, default="relu")
    # Earlier configs imply scaling by the tie; transformers 5 always ties and has an explicit key.
    is_scaled = c.get_bool("scale_decoder_outputs", default=sizes.is_tied)
    return _blueprint(
        sizes,
        n_decoder_layers=c.get_int("num_decoder_layers", 1, 4096, default=n_layers),
        kind=kind,
        buckets=(n_buckets, longest),
        eps=c.get_float("layer_norm_epsilon", default=1e-6),
        is_scaled=is_scaled,
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `T5Config` cannot express it."""
    attention, ffn = blueprint.attention, network_of(blueprint)
    kinds = {(type(known), known.activation): name for name, known in _NETWORKS.items()}
    position = attention.position
    if not isinstance(position, RelativeBias) or (type(ffn), ffn.activation) not in kinds:
        parts = f"{type(position).__name__} and a {type(ffn).__name__} with {ffn.activation}"
        raise BadInput(f"blocks[0] has {parts}; t5 needs RelativeBias and one of {', '.join(_NETWORKS)}")
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
        "relative_attention_max_distance": position.max_distance,
        "feed_forward_proj": kinds[type(ffn), ffn.activation],
        "layer_norm_epsilon": eps_of(blueprint),
        "vocab_size": blueprint.n_vocab,
        "tie_word_embeddings": blueprint.is_tied,
        "scale_decoder_outputs": blueprint.head is not None and blueprint.head.scale != 1.0,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    sizes = read_sizes(model, "t5")
    has_gate = "enc.blk.0.ffn_gate.weight" in model.tensors
    return _blueprint(
        sizes,
        n_decoder_layers=model.get_int("t5.decoder_block_count", 1, 4096, default=sizes.n_layers),
        kind=_NETWORKS["gated-gelu" if has_gate else "relu"],
        buckets=(model.get_int("t5.attention.relative_buckets_count", 2, 2**24), _MAX_DISTANCE),
        eps=get_float(model, "t5.attention.layer_norm_rms_epsilon", 1e-12, 1.0),
        is_scaled=sizes.is_tied,
    )


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `t5` cannot express it."""
    a, eps = blueprint.attention, eps_of(blueprint)
    n_buckets = a.position.n_buckets if isinstance(a.position, RelativeBias) else 0
    metadata = write_sizes(blueprint, "t5") | {
        "t5.block_count": len(blueprint.encoder),
        "t5.decoder_block_count": blueprint.n_layers,
        "t5.attention.key_length": a.d_head,
        "t5.attention.value_length": a.d_head,
        "t5.attention.layer_norm_epsilon": eps,
        "t5.attention.layer_norm_rms_epsilon": eps,
        "t5.attention.relative_buckets_count": n_buckets,
        "t5.decoder_start_token_id": 0,  # every published T5 starts decoding with the padding token
    }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    if kind == "gguf":
        return rename_tensors(blueprint, _GGUF)
    return rename_tensors(blueprint, _HF | (_HF_GATED if isinstance(network_of(blueprint), Gated) else {}))


def _blueprint(
    s: Sizes,
    n_decoder_layers: int,
    kind: MLP | Gated,
    buckets: tuple[int, int],
    eps: float,
    is_scaled: bool,
) -> Blueprint:
    """kind: the feed-forward network, of any width. buckets: (number, maximum distance)."""

    def attention(is_causal: bool) -> Attention:
        position = RelativeBias(*buckets, is_bidirectional=not is_causal)
        return Attention(s.n_heads, s.n_heads, s.d_head, position, is_causal=is_causal, scale=1.0)

    ffn = MLP(s.d_ff, kind.activation, False) if isinstance(kind, MLP) else Gated(s.d_ff, kind.activation)
    norm = RMSNorm(eps)
    cross = Attention(s.n_heads, s.n_heads, s.d_head, is_causal=False, scale=1.0)
    return Blueprint(
        family="t5",
        d_model=s.d_model,
        n_vocab=s.n_vocab,
        n_ctx=s.n_ctx,
        blocks=(Block(attention(True), ffn, norm, cross_attention=cross),) * n_decoder_layers,
        final_norm=norm,
        head=Head(s.is_tied, scale=s.d_model**-0.5 if is_scaled else 1.0),
        encoder=(Block(attention(False), ffn, norm),) * s.n_layers,
        encoder_norm=norm,
    )
