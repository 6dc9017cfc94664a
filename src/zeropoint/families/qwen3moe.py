"""Qwen 3 with experts: a router selects a few small networks for each token.

Yang et al., "Qwen3 Technical Report", 2025, section 2. Hugging Face: `Qwen3MoeConfig`, one tensor per
expert, and some blocks may have a single network. GGUF: architecture `qwen3moe`, experts in every block,
whose weights sum to 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.attention import Bias
from zeropoint.blueprint.parts.ffn import FFN, Gated, MixtureOfExperts
from zeropoint.blueprint.sources import TensorSource
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._experts import (
    PLACEHOLDERS,
    expert_counts,
    expert_counts_from_hf,
    stack_experts,
    with_ffn,
)
from zeropoint.families._gguf import InMemoryGguf, gguf_tensors
from zeropoint.families._hf import HfConfig
from zeropoint.families._llama_like import (
    llama_like_from_gguf,
    llama_like_from_hf,
    llama_like_to_gguf,
    llama_like_to_hf,
)
from zeropoint.families._names import GGUF, HF_LLAMA, permute_rotary, rename_tensors
from zeropoint.families._parts import experts_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "qwen3_moe"
PREFIX = "model."
IGNORED = (r".*rotary_emb\.inv_freq",)
_HF = HF_LLAMA | {"blocks.{}.ffn.router": "model.layers.{}.mlp.gate"}
_HF_EXPERTS = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
_DEFAULTS = {"intermediate_size": 6144, "moe_intermediate_size": 768}  # transformers'


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Qwen3MoeConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config))
    bias: Bias = "all" if c.get_bool("attention_bias", default=False) else "none"
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    has_window = c.get_bool("use_sliding_window", default=False)
    window = c.get_int("sliding_window", default=4096) if has_window else None
    plain = llama_like_from_hf(c, "qwen3moe", bias, (window,) * n_layers, has_query_key_norm=True)
    dense = _dense_blocks(c, n_layers)
    n_experts, n_active = expert_counts_from_hf(c, 128, 8)
    d_ff, is_renormalized = (
        c.get_int("moe_intermediate_size", 1, 2**22),
        c.get_bool("norm_topk_prob", default=False),
    )

    def network(i: int, ffn: FFN | None) -> FFN | None:
        if i in dense:
            return ffn
        expert = replace(cast(Gated, ffn), d_ff=d_ff)  # the network of a Llama-like block is Gated
        return MixtureOfExperts(n_experts, n_active, expert, is_renormalized)

    return with_ffn(plain, network)


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Qwen3MoeConfig` cannot express it."""
    experts = experts_of(blueprint)
    config = llama_like_to_hf(blueprint, "qwen3_moe", "Qwen3MoeForCausalLM")
    dense = [i for i, block in enumerate(blueprint.blocks) if not isinstance(block.ffn, MixtureOfExperts)]
    network = blueprint.blocks[dense[0]].ffn if dense else None
    if isinstance(network, Gated):
        config["intermediate_size"] = network.d_ff
    else:
        del config["intermediate_size"]
    config |= {
        "attention_bias": blueprint.attention.bias == "all",
        "use_sliding_window": blueprint.attention.window is not None,
        "sliding_window": blueprint.attention.window,
        "num_experts": experts.n_experts,
        "num_experts_per_tok": experts.n_active,
        "moe_intermediate_size": experts.expert.d_ff,
        "norm_topk_prob": experts.has_renormalized_weights,
        "decoder_sparse_step": 1,
        "mlp_only_layers": dense,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    plain = llama_like_from_gguf(model, "qwen3moe", has_query_key_norm=True)
    n_experts, n_active = expert_counts(model, "qwen3moe")
    width = max(cast(Gated, plain.blocks[0].ffn).d_ff // n_active, 1)
    d_ff = model.get_int("qwen3moe.expert_feed_forward_length", 1, 2**22, default=width)
    return with_ffn(plain, lambda *_: MixtureOfExperts(n_experts, n_active, Gated(d_ff)))


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `qwen3moe` cannot express it."""
    experts = experts_of(blueprint)
    metadata = llama_like_to_gguf(blueprint, "qwen3moe") | {
        "qwen3moe.expert_count": experts.n_experts,
        "qwen3moe.expert_used_count": experts.n_active,
        "qwen3moe.expert_feed_forward_length": experts.expert.d_ff,
    }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    sources = rename_tensors(blueprint, GGUF if kind == "gguf" else _HF | PLACEHOLDERS)
    if kind == "hf":
        sources = stack_experts(sources, blueprint, "model.layers.{}.mlp.experts", _HF_EXPERTS)
    return permute_rotary(sources, blueprint, is_interleaved=False)


def _dense_blocks(c: HfConfig, n_layers: int) -> set[int]:
    """The blocks without experts: `mlp_only_layers`, and all but every `decoder_sparse_step`-th."""
    step = c.get_int("decoder_sparse_step", 1, 4096, default=1)
    dense = {*c.get_ints("mlp_only_layers", 0, n_layers - 1)} | {i for i in range(n_layers) if (i + 1) % step}
    if len(dense) == n_layers:
        key = "mlp_only_layers" if step == 1 else "decoder_sparse_step"
        raise c.error(key, "such that a layer has experts")
    return dense
