"""Granite 4.0-H: Mamba-2 with attention without positions in a few blocks, and Granite's multipliers.

Granite Team, IBM, "Granite 4.0", 2025. The feed-forward network is dense, or a mixture of experts with a
network that all tokens share. Hugging Face: `GraniteMoeHybridConfig`, whose files fuse gate and up. GGUF:
architecture `granitehybrid`; a block whose `head_count_kv` is 0 has Mamba-2. The Granite 4.0 models without
Mamba-2 have the same Hugging Face type, but the GGUF architecture `granite`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Block, Blueprint
from zeropoint.blueprint.parts.ffn import FFN, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.position import NoPosition, Rope
from zeropoint.blueprint.parts.recurrence import Mamba2
from zeropoint.blueprint.sources import Rename, Rows, TensorSource
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata, Kind, _granite, granite
from zeropoint.families._experts import PLACEHOLDERS, expert_counts, with_ffn
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig, activation_to_hf
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._mamba2 import (
    mamba2_from_gguf,
    mamba2_from_hf,
    mamba2_names,
    mamba2_of,
    mamba2_to_gguf,
    mamba2_to_hf,
    reshaped,
)
from zeropoint.families._names import GGUF, HF_LLAMA, fuse_rows, permute_rotary, rename_tensors
from zeropoint.families._parts import eps_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "granitemoehybrid"
PREFIX = "model."
_ARCH = "granitehybrid"
_MAMBA, _ATTENTION = ("mamba", "linear_attention"), ("attention", "full_attention")  # of `layer_types`
_POSITIONS = {"rope": True, "nope": False}
_KEYS = {
    "n_heads": "mamba_n_heads",
    "d_head": "mamba_d_head",
    "d_state": "mamba_d_state",
    "n_groups": "mamba_n_groups",
    "d_kernel": "mamba_d_conv",
    "expand": "mamba_expand",
    "has_convolution_bias": "mamba_conv_bias",
    "has_bias": "mamba_proj_bias",
}
_DEFAULTS = {"n_heads": 128, "d_state": 256, "n_groups": 1, "expand": 2}
_HF = HF_LLAMA | {
    "blocks.{}.recurrence_norm": "model.layers.{}.input_layernorm",
    "blocks.{}.ffn.down": "model.layers.{}.shared_mlp.output_linear",
    "blocks.{}.ffn.shared.gate": "gate",  # until `_fused` replaces it
    "blocks.{}.ffn.shared.up": "up",
    "blocks.{}.ffn.shared.down": "model.layers.{}.shared_mlp.output_linear",
    "blocks.{}.ffn.router": "model.layers.{}.block_sparse_moe.router.layer",
    **PLACEHOLDERS,
    "blocks.{}.ffn.experts.down": "model.layers.{}.block_sparse_moe.output_linear",
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `GraniteMoeHybridConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    plain = llama_like_from_hf(c, _ARCH, "all" if c.get_bool("attention_bias", default=False) else "none")
    if not c.choose("position_embedding_type", _POSITIONS, default="nope"):
        blocks = tuple(block.with_attention(position=NoPosition()) for block in plain.blocks)
        plain = replace(plain, blocks=blocks)
    attends = _attends(c, plain.n_layers)
    spec = None if all(attends) else mamba2_from_hf(c, _KEYS, _DEFAULTS, plain.d_model, eps_of(plain))
    activation = cast(Gated, plain.blocks[0].ffn).activation
    shared = Gated(c.get_int("shared_intermediate_size", 1, 2**22, default=1024), activation)
    ffn: FFN = shared
    if n_experts := c.get_int("num_local_experts", 0, 2**16, default=8):
        n_active = c.get_int("num_experts_per_tok", 1, n_experts, default=min(2, n_experts))
        ffn = MixtureOfExperts(n_experts, n_active, cast(Gated, plain.blocks[0].ffn), shared=shared)
    hybrid = _with_mamba2(with_ffn(plain, lambda _, __: ffn), spec, attends)
    return _granite.from_hf(hybrid, c)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `GraniteMoeHybridConfig` cannot express it."""
    a, position = blueprint.attention, blueprint.attention.position
    spec = mamba2_of(blueprint) if any(block.recurrence for block in blueprint.blocks) else None
    unused = Rope(10000.0, a.d_head)
    config = llama_like_to_hf(
        blueprint,
        HF_MODEL_TYPE,
        "GraniteMoeHybridForCausalLM",
        None if isinstance(position, Rope) else unused,
    )
    ffn = blueprint.blocks[0].ffn
    shared = _shared(blueprint)
    config |= {
        "layer_types": [_MAMBA[0] if b.attention is None else _ATTENTION[0] for b in blueprint.blocks],
        "position_embedding_type": "rope" if isinstance(position, Rope) else "nope",
        "attention_bias": a.bias == "all",
        "hidden_act": activation_to_hf(shared.activation),
        "shared_intermediate_size": shared.d_ff,
        "num_local_experts": ffn.n_experts if isinstance(ffn, MixtureOfExperts) else 0,
        "num_experts_per_tok": ffn.n_active if isinstance(ffn, MixtureOfExperts) else 1,
        **({"mamba_n_heads": 1} if spec is None else mamba2_to_hf(spec, _KEYS, blueprint.d_model)),
        **_granite.to_hf(blueprint),
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    bias = _granite.biases(model)
    plain = llama_like_from_gguf(model, _ARCH, is_interleaved=True, bias=bias, is_hybrid=True)
    spec = mamba2_from_gguf(model, _ARCH, eps_of(plain))
    if model.get_int(f"{_ARCH}.expert_count", 0, 2**16, default=0):
        n_experts, n_active = expert_counts(model, _ARCH)
        d_shared = model.get_int(f"{_ARCH}.expert_shared_feed_forward_length", 0, 2**22, default=0)
        shared = Gated(d_shared) if d_shared else None
        plain = with_ffn(
            plain, lambda _, ffn: MixtureOfExperts(n_experts, n_active, cast(Gated, ffn), shared=shared)
        )
    attends = tuple(block.attention is not None for block in plain.blocks)
    return _granite.read_gguf(_with_mamba2(plain, spec, attends), model, _ARCH)


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture cannot express it."""
    if not any(block.recurrence for block in blueprint.blocks):
        return granite.to_gguf(replace(blueprint, family="granite"))
    ffn, position = blueprint.blocks[0].ffn, blueprint.attention.position
    unused = Rope(10000.0, blueprint.attention.d_head)
    metadata = llama_like_to_gguf(blueprint, _ARCH, None if isinstance(position, Rope) else unused)
    metadata |= mamba2_to_gguf(mamba2_of(blueprint), _ARCH) | _granite.write_gguf(blueprint, _ARCH)
    if isinstance(ffn, MixtureOfExperts):
        metadata |= {
            f"{_ARCH}.expert_count": ffn.n_experts,
            f"{_ARCH}.expert_used_count": ffn.n_active,
            f"{_ARCH}.expert_shared_feed_forward_length": 0 if ffn.shared is None else ffn.shared.d_ff,
        }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    recurrent = {"blocks.{}.recurrence_norm": "blk.{}.attn_norm"}
    table = GGUF | recurrent if kind == "gguf" else _HF
    names = rename_tensors(blueprint, table | mamba2_names(kind, "model.layers.{}.mamba"))
    names = permute_rotary(names, blueprint, is_interleaved=kind == "gguf")
    return reshaped(names if kind == "gguf" else _fused(names, blueprint), blueprint, kind)


def _fused(names: dict[str, TensorSource], blueprint: Blueprint) -> dict[str, TensorSource]:
    """Gate and up as Hugging Face stores them: the rows of one matrix, for each expert too."""
    fused = "model.layers.{}.shared_mlp.input_linear"
    for at in ("ffn", "ffn.shared"):
        names = fuse_rows(names, blueprint, (f"{at}.gate", f"{at}.up"), fused)
    for i, block in enumerate(blueprint.blocks):
        if isinstance(block.ffn, MixtureOfExperts):
            stack = Rename(f"model.layers.{i}.block_sparse_moe.input_linear.weight")
            d_ff = block.ffn.expert.d_ff
            for part, begin in (("gate", 0), ("up", d_ff)):
                names[f"blocks.{i}.ffn.experts.{part}.weight"] = Rows(stack, begin, begin + d_ff, axis=1)
    return names


def _with_mamba2(plain: Blueprint, spec: Mamba2 | None, attends: tuple[bool, ...]) -> Blueprint:
    def mixing(block: Block, has_attention: bool) -> Block:
        return block if has_attention else replace(block, attention=None, recurrence=spec)

    return replace(plain, blocks=tuple(map(mixing, plain.blocks, attends)))


def _attends(c: HfConfig, n_layers: int) -> tuple[bool, ...]:
    """Whether each block has attention; without `layer_types`, none has."""
    types = c.get_strings("layer_types", (*_MAMBA, *_ATTENTION), n_layers)
    return tuple(kind in _ATTENTION for kind in types or (_MAMBA[0],) * n_layers)


def _shared(blueprint: Blueprint) -> Gated:
    """The network that all tokens use. Raises BadInput if there is none."""
    ffn = blueprint.blocks[0].ffn
    shared = ffn.shared if isinstance(ffn, MixtureOfExperts) else ffn
    if not isinstance(shared, Gated):
        raise BadInput("blocks[0].ffn has no gated network for all tokens; config.json needs one")
    return shared
