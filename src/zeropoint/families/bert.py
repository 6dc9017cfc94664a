"""BERT: an encoder that sees both ways, norms after each addition, segments, a masked-word head.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", 2019, section 3. Hugging Face:
`BertConfig`; `BertForMaskedLM` has the head, `BertModel` has none. The pooler and the next-sentence
classifier of published checkpoints are left aside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.position import Learned
from zeropoint.blueprint.sources import Source
from zeropoint.errors import BadInput
from zeropoint.families import Kind
from zeropoint.families._hf import ACTIVATIONS, HfConfig, activation_to_hf
from zeropoint.families._names import renamed
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._same import refuse_unless_same

__all__ = ["from_hf", "tensor_map", "to_hf"]

PREFIX = "bert."
IGNORED = (r"bert\.pooler\..*", r"cls\.seq_relationship\..*", r"bert\.embeddings\.position_ids")
REPEATED = {
    r"cls\.predictions\.decoder\.weight": "embedding.weight",  # where the head is tied; else it is the head
    r"cls\.predictions\.decoder\.bias": "head.bias",
}
ALIASES = {".gamma": ".weight", ".beta": ".bias"}  # the names of its first, TensorFlow checkpoints
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


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `BertConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    c.require("position_embedding_type", "absolute")
    c.require("is_decoder", False)
    c.require("add_cross_attention", False)
    d_model, n_heads = c.get_int("hidden_size", 1, 2**20), c.get_int("num_attention_heads", 1, 65536)
    norm = LayerNorm(c.get_float("layer_norm_eps", default=1e-12))
    attention = Attention(n_heads, n_heads, max(d_model // n_heads, 1), is_causal=False, bias="all")
    activation = c.choose("hidden_act", ACTIVATIONS, default="gelu")
    block = Block(attention, MLP(c.get_int("intermediate_size", 1, 2**22), activation), norm, "post")
    n_ctx = c.get_int("max_position_embeddings", default=512)
    is_tied = c.get_bool("tie_word_embeddings", default=True)
    has_head = config.get("architectures") != ["BertModel"]
    return Blueprint(
        family="bert",
        d_model=d_model,
        n_vocab=c.get_int("vocab_size", 2),
        n_ctx=n_ctx,
        blocks=(block,) * c.get_int("num_hidden_layers", 1, 4096),
        final_norm=None,
        embedding=Embedding(Learned(n_ctx), n_types=c.get_int("type_vocab_size", 1, default=2), norm=norm),
        head=Head(is_tied, has_bias=True, has_transform=True) if has_head else None,
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput where a `BertConfig` cannot say it."""
    ffn = network_of(blueprint)
    config = {
        "architectures": ["BertModel" if blueprint.head is None else "BertForMaskedLM"],
        "model_type": "bert",
        "hidden_size": blueprint.d_model,
        "num_hidden_layers": blueprint.n_layers,
        "num_attention_heads": blueprint.blocks[0].attention.n_heads,
        "intermediate_size": ffn.d_ff,
        "hidden_act": activation_to_hf(ffn.activation),
        "max_position_embeddings": blueprint.n_ctx,
        "type_vocab_size": blueprint.embedding.n_types,
        "vocab_size": blueprint.n_vocab,
        "layer_norm_eps": eps_of(blueprint),
        "tie_word_embeddings": blueprint.head is None or blueprint.is_tied,
    }
    refuse_unless_same(blueprint, from_hf(config), "config.json")
    return config


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, Source]:
    """Each tensor of ours among the file's. Raises BadInput for GGUF."""
    if kind == "gguf":
        raise BadInput("bert is read and written as a Hugging Face folder, not as GGUF; choose that format")
    return renamed(blueprint, _HF)
