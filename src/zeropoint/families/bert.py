"""BERT: a bidirectional encoder with post-norm, segment embeddings and a masked-language-model head.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019, section 3. Hugging Face:
`BertConfig`; `BertForMaskedLM` has the head, `BertModel` has none. The pooler and next-sentence classifier of
published checkpoints are dropped. GGUF: architecture `bert`, the encoder only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Learned
from zeropoint.blueprint.sources import TensorSource
from zeropoint.errors import BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, Sizes, get_float, gguf_tensors, read_sizes, write_sizes
from zeropoint.families._hf import ACTIVATIONS, HfConfig, activation_to_hf
from zeropoint.families._names import GGUF, rename_tensors
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "bert."
IGNORED = (r"bert\.embeddings\.position_ids",)
DROPPED = (r"bert\.pooler\..*", r"cls\.seq_relationship\..*")  # sequence-level heads
DUPLICATES = {
    r"cls\.predictions\.decoder\.weight": "embedding.weight",  # only if the head is tied
    r"cls\.predictions\.decoder\.bias": "head.bias",
}
ALIASES = {".gamma": ".weight", ".beta": ".bias"}  # names from the original TensorFlow checkpoints
_LAYER = "bert.encoder.layer.{}"
_HF = {
    "embedding": "bert.embeddings.word_embeddings",
    "embedding.position": "bert.embeddings.position_embeddings",
    "embedding.segment": "bert.embeddings.token_type_embeddings",
    "embedding.norm": "bert.embeddings.LayerNorm",
    "blocks.{}.attention.query": f"{_LAYER}.attention.self.query",
    "blocks.{}.attention.key": f"{_LAYER}.attention.self.key",
    "blocks.{}.attention.value": f"{_LAYER}.attention.self.value",
    "blocks.{}.attention.output": f"{_LAYER}.attention.output.dense",
    "blocks.{}.attention_norm": f"{_LAYER}.attention.output.LayerNorm",
    "blocks.{}.ffn.up": f"{_LAYER}.intermediate.dense",
    "blocks.{}.ffn.down": f"{_LAYER}.output.dense",
    "blocks.{}.ffn_norm": f"{_LAYER}.output.LayerNorm",
    "head.transform": "cls.predictions.transform.dense",
    "head.norm": "cls.predictions.transform.LayerNorm",
    "head.weight": "cls.predictions.decoder.weight",
    "head.bias": "cls.predictions.bias",
}
_GGUF = GGUF | {
    "embedding.segment": "token_types",
    "embedding.norm": "token_embd_norm",
    "blocks.{}.attention_norm": "blk.{}.attn_output_norm",
    "blocks.{}.ffn_norm": "blk.{}.layer_output_norm",
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `BertConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    c.require("position_embedding_type", "absolute")
    c.require("is_decoder", False)
    c.require("add_cross_attention", False)
    d_model, n_heads = c.get_int("hidden_size", 1, 2**20), c.get_int("num_attention_heads", 1, 65536)
    sizes = Sizes(
        d_model=d_model,
        n_layers=c.get_int("num_hidden_layers", 1, 4096),
        n_ctx=c.get_int("max_position_embeddings", default=512),
        n_vocab=c.get_int("vocab_size", 2),
        n_heads=n_heads,
        n_kv_heads=n_heads,
        d_head=max(d_model // n_heads, 1),
        d_ff=c.get_int("intermediate_size", 1, 2**22),
        is_tied=c.get_bool("tie_word_embeddings", default=True),
    )
    ffn = MLP(sizes.d_ff, c.choose("hidden_act", ACTIVATIONS, default="gelu"))
    eps, n_types = c.get_float("layer_norm_eps", default=1e-12), c.get_int("type_vocab_size", 1, default=2)
    has_head = config.get("architectures") != ["BertModel"]
    head = Head(sizes.is_tied, has_bias=True, has_transform=True) if has_head else None
    return _blueprint(sizes, ffn, eps, n_types, head)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `BertConfig` cannot express it."""
    ffn = network_of(blueprint)
    config = {
        "architectures": ["BertModel" if blueprint.head is None else "BertForMaskedLM"],
        "model_type": "bert",
        "hidden_size": blueprint.d_model,
        "num_hidden_layers": blueprint.n_layers,
        "num_attention_heads": blueprint.attention.n_heads,
        "intermediate_size": ffn.d_ff,
        "hidden_act": activation_to_hf(ffn.activation),
        "max_position_embeddings": blueprint.n_ctx,
        "type_vocab_size": blueprint.embedding.n_types,
        "vocab_size": blueprint.n_vocab,
        "layer_norm_eps": eps_of(blueprint),
        "tie_word_embeddings": blueprint.head is None or blueprint.is_tied,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    sizes = read_sizes(model, "bert")
    if "token_types.weight" not in model.tensors:
        raise BadModelFile(f"{model.name}: tensor token_types.weight is missing; a bert model needs it")
    n_types = int(model.tensors["token_types.weight"].shape[0])
    eps = get_float(model, "bert.attention.layer_norm_epsilon", 1e-13, 1.0)
    return _blueprint(sizes, MLP(sizes.d_ff, "gelu"), eps, n_types, head=None)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint's encoder. Raises BadInput if the architecture `bert` cannot express it."""
    encoder = replace(blueprint, head=None)
    metadata = write_sizes(encoder, "bert") | {
        "bert.attention.layer_norm_epsilon": eps_of(encoder),
        "bert.attention.causal": False,
        "tokenizer.ggml.token_type_count": encoder.embedding.n_types,
    }
    check_round_trip(encoder, from_gguf(InMemoryGguf(encoder, metadata, tensor_map(encoder, "gguf"))), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors; GGUF has none for the head."""
    return (
        rename_tensors(replace(blueprint, head=None), _GGUF)
        if kind == "gguf"
        else rename_tensors(blueprint, _HF)
    )


def _blueprint(s: Sizes, ffn: MLP, eps: float, n_types: int, head: Head | None) -> Blueprint:
    norm = LayerNorm(eps)
    attention = Attention(s.n_heads, s.n_kv_heads, s.d_head, is_causal=False, bias="all")
    return Blueprint(
        family="bert",
        d_model=s.d_model,
        n_vocab=s.n_vocab,
        n_ctx=s.n_ctx,
        blocks=(Block(attention, ffn, norm, "post"),) * s.n_layers,
        final_norm=None,
        embedding=Embedding(Learned(s.n_ctx), n_types=n_types, norm=norm),
        head=head,
    )
