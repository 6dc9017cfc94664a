"""Mamba-2: state-space models without attention and without feed-forward networks; also Codestral Mamba.

Dao and Gu, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space
Duality", 2024. Hugging Face: `Mamba2Config`, and the config of the authors' own checkpoints, which has no
`model_type` but an `ssm_cfg`. GGUF: architecture `mamba2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.recurrence import Mamba2
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors, is_tied, read_n_vocab
from zeropoint.families._hf import HfConfig
from zeropoint.families._mamba2 import (
    mamba2_from_gguf,
    mamba2_from_hf,
    mamba2_names,
    mamba2_of,
    mamba2_to_gguf,
    mamba2_to_hf,
    reshaped,
)
from zeropoint.families._names import GGUF, rename_tensors
from zeropoint.families._parts import eps_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "recognizes", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "backbone."
ALIASES = {"embedding.weight": "embeddings.weight"}  # of the authors' checkpoints
_N_CTX = 2**20  # a state has no limit; llama.cpp's converter writes this number as well
_HF = {
    "embedding": "backbone.embeddings",
    "final_norm": "backbone.norm_f",
    "head": "lm_head",
    "blocks.{}.recurrence_norm": "backbone.layers.{}.norm",
}
_KEYS = {
    "n_heads": "num_heads",
    "d_head": "head_dim",
    "d_state": "state_size",
    "n_groups": "n_groups",
    "d_kernel": "conv_kernel",
    "expand": "expand",
    "has_convolution_bias": "use_conv_bias",
    "has_bias": "use_bias",
}
_DEFAULTS = {"n_heads": 128, "d_head": 64, "d_state": 128, "n_groups": 8, "expand": 2}


def recognizes(config: Mapping[str, Any]) -> bool:
    """Whether a config without `model_type` is that of the authors' code."""
    ssm = config.get("ssm_cfg")
    return isinstance(ssm, dict) and ssm.get("layer") == "Mamba2"


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Mamba2Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_from_authors(config) if recognizes(config) else config)
    c.require("hidden_act", "silu")
    c.require("rms_norm", True)
    c.require("norm_before_gate", False)
    d_model = c.get_int("hidden_size", 1, 2**20, default=4096)
    eps = c.get_float("layer_norm_epsilon", default=1e-5)
    spec = mamba2_from_hf(c, _KEYS, _DEFAULTS, d_model, eps)
    return _blueprint(
        spec,
        d_model=d_model,
        n_vocab=c.get_int("vocab_size", 2, default=32768),
        n_layers=c.get_int("num_hidden_layers", 1, 4096, default=64),
        n_ctx=_N_CTX,
        eps=eps,
        is_tied=c.get_bool("tie_word_embeddings", default=False),
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Mamba2Config` cannot express it."""
    config = {
        "architectures": ["Mamba2ForCausalLM"],
        "model_type": "mamba2",
        "hidden_size": blueprint.d_model,
        **mamba2_to_hf(mamba2_of(blueprint), _KEYS, blueprint.d_model),
        "num_hidden_layers": blueprint.n_layers,
        "layer_norm_epsilon": eps_of(blueprint),
        "hidden_act": "silu",
        "vocab_size": blueprint.n_vocab,
        "tie_word_embeddings": blueprint.is_tied,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    eps = get_float(model, "mamba2.attention.layer_norm_rms_epsilon", 1e-12, 1.0)
    return _blueprint(
        mamba2_from_gguf(model, "mamba2", eps),
        d_model=model.get_int("mamba2.embedding_length", 1, 2**20),
        n_vocab=read_n_vocab(model, "mamba2"),
        n_layers=model.get_int("mamba2.block_count", 1, 4096),
        n_ctx=model.get_int("mamba2.context_length", 1, 2**24),
        eps=eps,
        is_tied=is_tied(model),
    )


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `mamba2` cannot express it."""
    metadata = {
        "general.architecture": "mamba2",
        "mamba2.vocab_size": blueprint.n_vocab,
        "mamba2.context_length": blueprint.n_ctx,
        "mamba2.embedding_length": blueprint.d_model,
        "mamba2.block_count": blueprint.n_layers,
        # llama.cpp requires both keys and uses neither.
        "mamba2.feed_forward_length": 0,
        "mamba2.attention.head_count": 0,
        "mamba2.attention.layer_norm_rms_epsilon": eps_of(blueprint),
        **mamba2_to_gguf(mamba2_of(blueprint), "mamba2"),
    }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    table = GGUF | {"blocks.{}.recurrence_norm": "blk.{}.attn_norm"} if kind == "gguf" else _HF
    names = rename_tensors(blueprint, table | mamba2_names(kind, "backbone.layers.{}.mixer"))
    return reshaped(names, blueprint, kind)


def _blueprint(
    spec: Mamba2, *, d_model: int, n_vocab: int, n_layers: int, n_ctx: int, eps: float, is_tied: bool
) -> Blueprint:
    norm = RMSNorm(eps)
    return Blueprint(
        family="mamba2",
        d_model=d_model,
        n_vocab=n_vocab,
        n_ctx=n_ctx,
        blocks=(Block(None, None, norm, recurrence=spec),) * n_layers,
        final_norm=norm,
        head=Head(is_tied=is_tied),
    )


def _from_authors(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a `Mamba2Config` for a config of the authors' code, with its defaults."""
    c = HfConfig(config)
    ssm = HfConfig(c.section("ssm_cfg"), f"{c.where}, ssm_cfg")
    c.require("d_intermediate", 0)
    c.require("attn_layer_idx", [])
    d_model, expand = c.get_int("d_model", 1, 2**20), ssm.get_int("expand", 1, 64, default=2)
    d_head = ssm.get_int("headdim", 1, 4096, default=64)
    multiple = c.get_int("pad_vocab_size_multiple", default=8)
    return {
        "hidden_size": d_model,
        "expand": expand,
        "head_dim": d_head,
        "num_heads": expand * d_model // d_head,
        "state_size": ssm.get_int("d_state", 1, 4096, default=128),
        "n_groups": ssm.get_int("ngroups", 1, 65536, default=1),
        "conv_kernel": ssm.get_int("d_conv", 2, 64, default=4),
        "num_hidden_layers": c.get_int("n_layer", 1, 4096),
        "rms_norm": c.values.get("rms_norm"),
        "vocab_size": -(-c.get_int("vocab_size", 2) // multiple) * multiple,
        "tie_word_embeddings": c.get_bool("tie_embeddings", default=True),
    }
