"""Gemma 4 (E2B, E4B): a per-layer input for each block, late blocks that read the keys and values of earlier
ones, and wider heads in the blocks without a window, of which a quarter of the pairs rotate.

Gemma Team, "Gemma 4", 2026. Hugging Face: `Gemma4TextConfig`, and the text part of a multimodal
`Gemma4Config`. GGUF: architecture `gemma4`, whose `rope_freqs` stop the pairs that do not rotate.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import ProportionalScaling, Rope
from zeropoint.blueprint.sources import Rename, TensorSource
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gemma import HF_GEMMA, gemma_activation, gemma_activation_to_hf, soft_cap
from zeropoint.families._gemma4_layout import SHARED, layout_from_gguf, layout_from_hf
from zeropoint.families._gguf import (
    InMemoryGguf,
    get_float,
    gguf_tensors,
    one_or_list,
    read_sizes,
    rope_to_gguf,
    write_sizes,
)
from zeropoint.families._hf import FULL, SLIDING, HfConfig, activation_to_hf
from zeropoint.families._llama_like import layer_windows_to_hf
from zeropoint.families._names import GGUF, permute_rotary, rename_tensors
from zeropoint.families._parts import eps_of, network_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

HF_MODEL_TYPE = "gemma4_text"
PREFIX = "model."
IGNORED = (r".*rotary_emb\..*",)
# Published files have keys and values also for the blocks that read those of others.
DROPPED = (r"model\.layers\.\d+\.self_attn\.(k_proj|v_proj|k_norm|v_norm)\.weight",)
GGUF_DROPPED = (r"blk\.\d+\.attn_(k|v|k_norm)\.weight",)

_DEFAULTS = {  # of transformers
    "vocab_size": 262144,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 30,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 131072,
    "sliding_window": 512,
    "hidden_size_per_layer_input": 256,
    "rope_parameters": {
        SLIDING: {"rope_type": "default", "rope_theta": 1e4},
        FULL: {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1e6},
    },
}
_HF = HF_GEMMA | {
    "embedding.per_layer": "model.embed_tokens_per_layer",
    "embedding.per_layer_projection": "model.per_layer_model_projection",
    "embedding.per_layer_norm": "model.per_layer_projection_norm",
    "blocks.{}.per_layer.gate": "model.layers.{}.per_layer_input_gate",
    "blocks.{}.per_layer.projection": "model.layers.{}.per_layer_projection",
    "blocks.{}.per_layer_norm": "model.layers.{}.post_per_layer_input_norm",
    "blocks.{}.output_scale": "model.layers.{}.layer_scalar",
}
_GGUF = GGUF | {
    "embedding.per_layer": "per_layer_token_embd",
    "embedding.per_layer_projection": "per_layer_model_proj",
    "embedding.per_layer_norm": "per_layer_proj_norm",
    "blocks.{}.per_layer.gate": "blk.{}.inp_gate",
    "blocks.{}.per_layer.projection": "blk.{}.proj",
    "blocks.{}.per_layer_norm": "blk.{}.post_norm",
    "blocks.{}.output_scale": "blk.{}.layer_output_scale",
}


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of a `Gemma4TextConfig`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(_DEFAULTS | dict(config))
    for key in ("attention_bias", "attention_k_eq_v", "enable_moe_block"):
        c.require(key, False)
    c.require("use_bidirectional_attention", "vision")  # which concerns images alone
    n_vocab = c.get_int("vocab_size", 2)
    width = c.get_int("hidden_size_per_layer_input", 0, default=0)
    if width and c.get_int("vocab_size_per_layer_input", default=n_vocab) != n_vocab:
        raise c.error("vocab_size_per_layer_input", f"`vocab_size`, {n_vocab}")
    n_heads = c.get_int("num_attention_heads", 1, 65536)
    layout = layout_from_hf(c, n_heads)
    if not layout.is_complete:
        raise c.error("num_kv_shared_layers", "fewer, since no layer of that type has keys and values")
    norm = RMSNorm(c.get_float("rms_norm_eps", default=1e-6))
    return _blueprint(
        blocks=layout.blocks(n_heads, gemma_activation(c), norm, width),
        d_model=c.get_int("hidden_size", 1, 2**20),
        n_vocab=n_vocab,
        n_ctx=c.get_int("max_position_embeddings"),
        is_tied=c.get_bool("tie_word_embeddings", default=True),
        cap=soft_cap(c, "final_logit_softcapping", None),
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if a `Gemma4TextConfig` cannot express it."""
    local, everywhere = _kinds(blueprint)
    ffns = [block.ffn.d_ff for block in blueprint.blocks if isinstance(block.ffn, Gated)]
    n_shared = sum(not a.has_keys for a in blueprint.attentions)
    width = blueprint.per_layer.width if blueprint.per_layer else 0
    activation = activation_to_hf(network_of(blueprint).activation)
    config = {
        "architectures": ["Gemma4ForCausalLM"],
        "model_type": "gemma4_text",
        "hidden_size": blueprint.d_model,
        "num_hidden_layers": blueprint.n_layers,
        "num_attention_heads": local.n_heads,
        "num_key_value_heads": local.n_kv_heads,
        "head_dim": local.d_head,
        "global_head_dim": everywhere.d_head,
        "intermediate_size": ffns[0] if ffns else 0,
        "use_double_wide_mlp": bool(n_shared) and ffns[-1] == 2 * ffns[0],
        "max_position_embeddings": blueprint.n_ctx,
        "vocab_size": blueprint.n_vocab,
        "vocab_size_per_layer_input": blueprint.n_vocab,
        "hidden_size_per_layer_input": width,
        "num_kv_shared_layers": n_shared,
        "rms_norm_eps": eps_of(blueprint),
        "tie_word_embeddings": blueprint.is_tied,
        "final_logit_softcapping": blueprint.head and blueprint.head.softcap,
        "rope_parameters": {SLIDING: _rope_to_hf(local), FULL: _rope_to_hf(everywhere)},
        **layer_windows_to_hf(blueprint),
        **gemma_activation_to_hf({"hidden_act": activation}),
    }
    del config["hidden_act"]
    if config["sliding_window"] is None:
        config["sliding_window"] = _DEFAULTS["sliding_window"]
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    sizes = read_sizes(model, "gemma4", has_layer_d_ff=True)
    layout = layout_from_gguf(model, sizes.n_layers, sizes.n_heads, sizes.d_head)
    if not layout.is_complete:
        raise BadModelFile(
            f"{model.name}: metadata `{SHARED}` is {layout.n_shared}; it must be fewer, since no "
            "layer of that type has keys and values"
        )
    norm = RMSNorm(get_float(model, "gemma4.attention.layer_norm_rms_epsilon", 1e-12, 1.0))
    width = model.get_int("gemma4.embedding_length_per_layer_input", 0, 2**16, default=0)
    return _blueprint(
        blocks=layout.blocks(sizes.n_heads, "gelu_tanh", norm, width),
        d_model=sizes.d_model,
        n_vocab=sizes.n_vocab,
        n_ctx=sizes.n_ctx,
        is_tied=sizes.is_tied,
        cap=get_float(model, "gemma4.final_logit_softcapping", 0.0, 1e6, default=30.0) or None,
    )


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `gemma4` cannot express it."""
    local, everywhere = _kinds(blueprint)
    local_rope, rope = _rope(local), _rope(everywhere)
    ffns = [block.ffn.d_ff for block in blueprint.blocks if isinstance(block.ffn, Gated)]
    metadata = write_sizes(blueprint, "gemma4") | rope_to_gguf(rope, "gemma4")
    metadata |= {
        "gemma4.feed_forward_length": one_or_list(ffns),
        "gemma4.attention.key_length": everywhere.d_head,
        "gemma4.attention.value_length": everywhere.d_head,
        "gemma4.attention.key_length_swa": local.d_head,
        "gemma4.attention.value_length_swa": local.d_head,
        "gemma4.attention.layer_norm_rms_epsilon": eps_of(blueprint),
        "gemma4.attention.sliding_window": local.window or _DEFAULTS["sliding_window"],
        "gemma4.attention.sliding_window_pattern": [a.window is not None for a in blueprint.attentions],
        SHARED: sum(not a.has_keys for a in blueprint.attentions),
        "gemma4.embedding_length_per_layer_input": blueprint.per_layer.width if blueprint.per_layer else 0,
        "gemma4.rope.freq_base_swa": float(local_rope.base),
        "gemma4.rope.dimension_count_swa": local_rope.n_rotated,
    }
    cap = blueprint.head and blueprint.head.softcap  # without the key, readers assume 30
    metadata["gemma4.final_logit_softcapping"] = cap or 0.0
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, _GGUF if kind == "gguf" else _HF)
    for ours, source in names.items():
        if isinstance(source, Rename) and source.name.endswith("layer_scalar.weight"):
            names[ours] = Rename(source.name.removesuffix(".weight"))  # a buffer, not a module
    return permute_rotary(names, blueprint, is_interleaved=False)


def _blueprint(
    blocks: tuple[Block, ...], d_model: int, n_vocab: int, n_ctx: int, is_tied: bool, cap: float | None
) -> Blueprint:
    return Blueprint(
        family="gemma4",
        d_model=d_model,
        n_vocab=n_vocab,
        n_ctx=n_ctx,
        blocks=blocks,
        final_norm=blocks[0].norm,
        embedding=Embedding(scale=d_model**0.5),
        head=Head(is_tied=is_tied, softcap=cap),
    )


def _kinds(blueprint: Blueprint) -> tuple[Attention, Attention]:
    """The attention of the first block with a window and of the first without; the other one if there is
    none.
    """
    found = {a.window is None: a for a in reversed(blueprint.attentions)}
    if not found:
        raise BadInput("no block of this blueprint has attention; a file of the family gemma4 needs it")
    return found.get(False, found.get(True)), found.get(True, found.get(False))  # type: ignore[return-value]


def _rope(attention: Attention) -> Rope:
    if not isinstance(attention.position, Rope):
        raise BadInput("a block of this blueprint has no Rope; a file of the family gemma4 needs one in each")
    return attention.position


def _rope_to_hf(attention: Attention) -> dict[str, Any]:
    rope = _rope(attention)
    if isinstance(rope.scaling, ProportionalScaling):
        kind = {"rope_type": "proportional", "partial_rotary_factor": rope.scaling.share}
        return {**kind, "rope_theta": rope.base}
    return {"rope_type": "default", "rope_theta": rope.base}
