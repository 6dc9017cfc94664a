"""Qwen 3.5: three Gated DeltaNet blocks for each block of attention, whose heads have an output gate.

Qwen Team, "Qwen3.5", 2026; the layers come from Qwen3-Next. Attention rotates a quarter of each head. Hugging
Face: `Qwen3_5TextConfig`, and the text part of a multimodal `Qwen3_5Config`; norms stored as gain - 1, query
and gate of a head in adjacent rows. GGUF: architecture `qwen35`, norms stored as the gain, value heads in
another order. A multi-token prediction layer follows the blocks; it is kept, and not run yet.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet
from zeropoint.blueprint.sources import Regrouped, Rows, TensorSource
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gated_delta_net import (
    delta_net_from_gguf,
    delta_net_from_hf,
    delta_net_names,
    delta_net_of,
    delta_net_to_gguf,
    delta_net_to_hf,
    rearranged,
)
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import FULL, HfConfig, rope_from_hf
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, Sources, offset_norms, permute_rotary, rename_tensors
from zeropoint.families._parts import eps_of, rope_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["fit_to_tensors", "from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "qwen3_5_text"
PREFIX = "model."
IGNORED = (r".*rotary_emb\..*",)
DROPPED = (r"mtp\..*",)  # of a folder whose config does not declare the layer

_LINEAR = "linear_attention"  # of `layer_types`, next to FULL
_PERIOD = 4  # every fourth block has attention
_DEFAULTS = {"head_dim": 256, "num_key_value_heads": 4, "max_position_embeddings": 32768}
_MTP_HF = {
    "mtp.embedding_norm": "mtp.pre_fc_norm_embedding",
    "mtp.hidden_norm": "mtp.pre_fc_norm_hidden",
    "mtp.projection": "mtp.fc",
    "mtp.norm": "mtp.norm",
}
_MTP_GGUF = {
    "mtp.embedding_norm": "nextn.enorm",
    "mtp.hidden_norm": "nextn.hnorm",
    "mtp.projection": "nextn.eh_proj",
    "mtp.norm": "nextn.shared_head_norm",
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Qwen3_5TextConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config))
    c.require("hidden_act", "silu")
    c.require("attention_bias", False)
    c.require("attn_output_gate", True)
    c.require("mtp_use_dedicated_embeddings", False)
    rope = rope_from_hf(c, c.get_int("head_dim", 1, 4096), rotary_factor=0.25)
    plain = llama_like_from_hf(c, "qwen35", has_query_key_norm=True, rope=rope)
    spec = delta_net_from_hf(c, eps_of(plain))
    has_mtp = c.get_int("mtp_num_hidden_layers", 0, 1, default=0) == 1
    return _with_parts(plain, spec, _attends(c, plain.n_layers), has_mtp, is_offset=True)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Qwen3_5TextConfig` cannot express it."""
    config = llama_like_to_hf(blueprint, "qwen3_5_text", "Qwen3_5ForCausalLM")
    config |= delta_net_to_hf(delta_net_of(blueprint)) | {
        "attention_bias": False,
        "attn_output_gate": True,
        "layer_types": [_LINEAR if block.attention is None else FULL for block in blueprint.blocks],
        "mtp_num_hidden_layers": 0 if blueprint.mtp is None else 1,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def fit_to_tensors(blueprint: Blueprint, names: Iterable[str]) -> Blueprint:
    """The blueprint without multi-token prediction if a folder's config declares it and its tensors are
    missing: transformers saves a model without them.
    """
    return blueprint if any(name.startswith("mtp.") for name in names) else replace(blueprint, mtp=None)


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "qwen35", has_query_key_norm=True)
    spec = delta_net_from_gguf(model, "qwen35", eps_of(plain))
    n_all = plain.n_layers
    n_mtp = model.get_int("qwen35.nextn_predict_layers", 0, 1, default=0)
    if n_mtp == n_all:
        raise BadModelFile(
            f"{model.name}: metadata `qwen35.block_count` is 1; it must count a block besides MTP"
        )
    period = model.get_int("qwen35.full_attention_interval", 1, 4096, default=_PERIOD)
    plain = replace(plain, blocks=plain.blocks[: n_all - n_mtp])
    attends = tuple((i + 1) % period == 0 for i in range(plain.n_layers))
    if not any(attends):
        raise BadModelFile(
            f"{model.name}: metadata `qwen35.full_attention_interval` is {period}; it must be 1 to "
            f"{plain.n_layers}, the number of blocks"
        )
    return _with_parts(plain, spec, attends, n_mtp == 1, is_offset=False)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `qwen35` cannot express it."""
    a, n_mtp = blueprint.attention, 0 if blueprint.mtp is None else 1
    metadata = llama_like_to_gguf(blueprint, "qwen35") | delta_net_to_gguf(delta_net_of(blueprint), "qwen35")
    metadata |= {
        "qwen35.block_count": blueprint.n_layers + n_mtp,
        "qwen35.attention.head_count_kv": a.n_kv_heads,
        "qwen35.attention.key_length": a.d_head,
        "qwen35.attention.value_length": a.d_head,
        "qwen35.full_attention_interval": _period_of(blueprint),
        "qwen35.rope.dimension_sections": _sections(rope_of(blueprint).n_rotated // 2),
    }
    if n_mtp:
        metadata["qwen35.nextn_predict_layers"] = n_mtp
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    if kind == "gguf":
        table = GGUF | {
            "blocks.{}.recurrence_norm": GGUF["blocks.{}.attention_norm"],
            "blocks.{}.ffn_norm": "blk.{}.post_attention_norm",
        }
    else:
        table = HF_LLAMA | {"blocks.{}.recurrence_norm": HF_LLAMA["blocks.{}.attention_norm"]}
    table |= delta_net_names(kind, "model.layers.{}.linear_attn")
    table["blocks.{}.attention.gate"] = table["blocks.{}.attention.query"]
    sources = rename_tensors(blueprint, table | _mtp_names(blueprint, table, kind))
    sources = permute_rotary(sources, blueprint, is_interleaved=False)
    sources = rearranged(_with_gates(sources, blueprint), blueprint, kind)
    return offset_norms(sources, blueprint, is_offset=kind == "hf")


def _attends(c: HfConfig, n_layers: int) -> tuple[bool, ...]:
    """Whether each block has attention. Raises BadModelFile if none has."""
    types = c.get_strings("layer_types", (FULL, _LINEAR), n_layers)
    key, period = "layer_types", c.get_int("full_attention_interval", 1, 4096, default=_PERIOD)
    if types is None:
        key, types = (
            "full_attention_interval",
            tuple(_LINEAR if (i + 1) % period else FULL for i in range(n_layers)),
        )
    if FULL not in types:
        raise c.error(key, f"such that one of the {n_layers} layers has {FULL}")
    return tuple(layer_type == FULL for layer_type in types)


def _with_parts(
    plain: Blueprint, spec: GatedDeltaNet, attends: tuple[bool, ...], has_mtp: bool, is_offset: bool
) -> Blueprint:
    """A Llama-like blueprint with gated attention in some blocks, and `spec` in the others."""
    norm = replace(cast(RMSNorm, plain.final_norm), is_offset=is_offset)
    first = plain.blocks[0].with_attention(has_output_gate=True, query_key_norm=norm)
    attending = replace(first, norm=norm)
    mixing = replace(attending, attention=None, recurrence=spec)
    blocks = tuple(attending if has_attention else mixing for has_attention in attends)
    return replace(plain, blocks=blocks, final_norm=norm, mtp=attending if has_mtp else None)


def _period_of(blueprint: Blueprint) -> int:
    """Every how many blocks one has attention. Raises BadInput if that varies."""
    attends = [block.attention is not None for block in blueprint.blocks]
    period = attends.index(True) + 1
    if attends != [(i + 1) % period == 0 for i in range(len(attends))]:
        raise BadInput(
            "GGUF of the family qwen35 needs attention in every n-th block, and this model has it in others; "
            "convert to a folder instead"
        )
    return period


def _sections(n_pairs: int) -> list[int]:
    """How many rotary pairs follow the time, height and width of an image: [11, 11, 10, 0] of 32."""
    each, rest = divmod(n_pairs, 3)
    return [each + (rest > 0), each + (rest > 1), each, 0]


def _mtp_names(blueprint: Blueprint, table: Mapping[str, str], kind: Kind) -> dict[str, str]:
    """The table of the multi-token prediction layer, which a GGUF file stores as another block."""
    begin, i = ("blk.{}", str(blueprint.n_layers)) if kind == "gguf" else ("model.layers.{}", "0")
    block = {
        ours.replace("blocks.{}", "mtp.block"): stored.format(i).replace("model.layers", "mtp.layers")
        for ours, stored in table.items()
        if ours.startswith("blocks.{}") and stored.startswith(begin)
    }
    if kind == "hf":
        return block | _MTP_HF
    return block | {ours: f"blk.{i}.{name}" for ours, name in _MTP_GGUF.items()}


def _with_gates(sources: Sources, blueprint: Blueprint) -> Sources:
    """`sources` with query and gate read from one matrix, which holds the rows of both for each head."""
    blocks: dict[str, Block] = {f"blocks.{i}": block for i, block in enumerate(blueprint.blocks)}
    if blueprint.mtp is not None:
        blocks["mtp.block"] = blueprint.mtp
    updated: Sources = {}
    for at, block in blocks.items():
        a = block.attention
        if a is None or not a.has_output_gate:
            continue
        both = Regrouped(sources[f"{at}.attention.query.weight"], a.n_heads, 2)
        updated[f"{at}.attention.query.weight"] = Rows(both, 0, a.d_query)
        updated[f"{at}.attention.gate.weight"] = Rows(both, a.d_query, 2 * a.d_query)
    return sources | updated
