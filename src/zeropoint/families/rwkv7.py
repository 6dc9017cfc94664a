"""RWKV-7 "Goose": time mix and channel mix, without attention and without a limit of the context.

Peng et al., "RWKV-7 'Goose' with Expressive Dynamic State Evolution", 2025, arXiv 2503.14456. Hugging Face:
`RWKV7Config` of the flash-linear-attention package; transformers itself has no RWKV-7. GGUF: architecture
`rwkv7`, whose first block repeats the tensors of its rate as unused `time_mix_v` tensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.parts.ffn import ChannelMix
from zeropoint.blueprint.parts.norm import LayerNorm
from zeropoint.blueprint.parts.recurrence import Rwkv7
from zeropoint.blueprint.sources import Rename, Reshaped, Stacked, TensorSource
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._gguf import InMemoryGguf, get_float, gguf_tensors, is_tied, read_n_vocab
from zeropoint.families._hf import HfConfig
from zeropoint.families._names import rename_tensors
from zeropoint.families._parts import eps_of
from zeropoint.families._round_trip import check_round_trip

__all__ = ["from_gguf", "from_hf", "gguf_copies", "gguf_tensors", "tensor_map", "to_gguf", "to_hf"]

PREFIX = "model."
_N_CTX = 2**20  # a state has no limit; llama.cpp's converter writes this number as well
_GROUP_EPS = 64e-5  # of the norm per head; llama.cpp has it as a constant
_SHIFTS = "rwkvag"
_RANKS = ("decay_rank", "rate_rank", "value_rank", "gate_rank")
_HF_RANKS = ("decay_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim")
_GGUF_RANKS = ("decay", "iclr", "value_residual_mix", "gate")
_AT = "blocks.{}.recurrence"
_HF = {
    "embedding": "model.embeddings",
    "embedding.norm": "model.layers.0.pre_norm",
    "final_norm": "model.norm",
    "head": "lm_head",
    "blocks.{}.recurrence_norm": "model.layers.{}.attn_norm",
    "blocks.{}.ffn_norm": "model.layers.{}.ffn_norm",
    "blocks.{}.ffn.shift": "model.layers.{}.ffn.x_k",
    "blocks.{}.ffn.up": "model.layers.{}.ffn.key",
    "blocks.{}.ffn.down": "model.layers.{}.ffn.value",
    f"{_AT}.shift": "x",  # until `_in_hf` replaces it
    f"{_AT}.removal_scale": "model.layers.{}.attn.k_k",
    f"{_AT}.replacement_scale": "model.layers.{}.attn.k_a",
    f"{_AT}.bonus": "model.layers.{}.attn.r_k",
    f"{_AT}.norm": "model.layers.{}.attn.g_norm",
}
_GGUF = {
    "embedding": "token_embd",
    "embedding.norm": "token_embd_norm",
    "final_norm": "output_norm",
    "head": "output",
    "blocks.{}.recurrence_norm": "blk.{}.attn_norm",
    "blocks.{}.ffn_norm": "blk.{}.attn_norm_2",
    "blocks.{}.ffn.shift": "blk.{}.channel_mix_lerp_k.weight",
    "blocks.{}.ffn.up": "blk.{}.channel_mix_key",
    "blocks.{}.ffn.down": "blk.{}.channel_mix_value",
    f"{_AT}.shift": "blk.{}.time_mix_lerp_fused.weight",
    f"{_AT}.removal_scale": "blk.{}.time_mix_k_k.weight",
    f"{_AT}.replacement_scale": "blk.{}.time_mix_k_a.weight",
    f"{_AT}.bonus": "blk.{}.time_mix_r_k.weight",
    f"{_AT}.norm": "blk.{}.time_mix_ln",
}
for _part in ("receptance", "key", "value", "output"):
    _GGUF[f"{_AT}.{_part}"] = f"blk.{{}}.time_mix_{_part}"
    _HF[f"{_AT}.{_part}"] = f"model.layers.{{}}.attn.{_part[0]}_proj"
for _part, _letter in (("decay", "w"), ("rate", "a"), ("first_value", "v"), ("gate", "g")):
    _GGUF[f"{_AT}.{_part}.down"] = f"blk.{{}}.time_mix_{_letter}1"
    _GGUF[f"{_AT}.{_part}.up"] = f"blk.{{}}.time_mix_{_letter}2"
    _GGUF[f"{_AT}.{_part}.bias"] = f"blk.{{}}.time_mix_{_letter}0.weight"
    _HF[f"{_AT}.{_part}.down"] = f"model.layers.{{}}.attn.{_letter}_lora.lora.0"
    _HF[f"{_AT}.{_part}.up"] = f"model.layers.{{}}.attn.{_letter}_lora.lora.2"
    _HF[f"{_AT}.{_part}.bias"] = f"model.layers.{{}}.attn.{_letter}_lora.lora.2.bias"


def from_hf(config: Mapping[str, Any]) -> Blueprint:
    """The blueprint of an `RWKV7Config`. Raises BadModelFile naming the key at fault."""
    c = HfConfig(config)
    for key, value in (("hidden_act", "sqrelu"), ("norm_first", True), ("norm_bias", True)):
        c.require(key, value)
    if config.get("attn") is not None:
        raise c.error("attn", "absent, since blocks with attention are not supported")
    d_model = c.get_int("hidden_size", 1, 2**20, default=2048)
    d_head = c.get_int("head_dim", 1, 4096, default=64)
    if d_model % d_head:
        raise c.error("head_dim", f"a divisor of `hidden_size`, {d_model}")
    if config.get("num_heads") is not None and c.get_int("num_heads", 1, 65536) != d_model // d_head:
        raise c.error("num_heads", f"`hidden_size` / `head_dim`, {d_model // d_head}")
    widths = config.get("value_dim")
    if widths is not None and widths != d_model and any(width != d_model for width in _listed(widths)):
        raise c.error("value_dim", f"`hidden_size`, {d_model}, for all layers")
    ratio = c.get_float("hidden_ratio", default=4.0)
    d_ff = c.get_int("intermediate_size", 1, 2**22, default=None)
    if d_ff is None and not 0 < ratio <= 1024:
        raise c.error("hidden_ratio", "a number above 0, at most 1024")
    defaults = zip(_RANKS, _HF_RANKS, (64, 64, 16, 128), strict=True)
    ranks = {rank: c.get_int(key, 1, 65536, default=n) for rank, key, n in defaults}
    eps = c.get_float("norm_eps", default=1e-5)
    return _blueprint(
        Rwkv7(d_head, **ranks, norm_eps=d_head * eps),
        d_ff=-(-int(d_model * ratio) // 32) * 32 if d_ff is None else d_ff,
        d_model=d_model,
        n_vocab=c.get_int("vocab_size", 2, default=32000),
        n_layers=c.get_int("num_hidden_layers", 1, 4096, default=24),
        n_ctx=_N_CTX,
        eps=eps,
        is_tied=c.get_bool("tie_word_embeddings", default=False),
    )


def to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """The config of a blueprint. Raises BadInput if an `RWKV7Config` cannot express it."""
    spec, network = _parts(blueprint)
    ranks = zip(_HF_RANKS, (getattr(spec, rank) for rank in _RANKS), strict=True)
    config = {
        "architectures": ["RWKV7ForCausalLM"],
        "model_type": "rwkv7",
        "hidden_size": blueprint.d_model,
        "head_dim": spec.d_head,
        "num_heads": blueprint.d_model // spec.d_head,
        "intermediate_size": network.d_ff,
        "num_hidden_layers": blueprint.n_layers,
        **dict(ranks),
        "hidden_act": "sqrelu",
        "norm_eps": eps_of(blueprint),
        "norm_first": True,
        "norm_bias": True,
        "vocab_size": blueprint.n_vocab,
        "tie_word_embeddings": blueprint.is_tied,
    }
    check_round_trip(blueprint, from_hf(config), "config.json")
    return config


def from_gguf(model: GgufMetadata) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    d_model = model.get_int("rwkv7.embedding_length", 1, 2**20)
    d_head = model.get_int("rwkv7.wkv.head_size", 1, 4096)
    if d_model % d_head:
        raise BadModelFile(
            f"{model.name}: metadata `rwkv7.wkv.head_size` is {d_head}; it must divide "
            f"`rwkv7.embedding_length`, {d_model}"
        )
    model.get_int("rwkv7.token_shift_count", 2, 2, default=2)
    keys = {rank: f"rwkv7.attention.{name}_lora_rank" for rank, name in zip(_RANKS, _GGUF_RANKS, strict=True)}
    ranks = {rank: model.get_int(key, 1, 65536) for rank, key in keys.items()}
    return _blueprint(
        Rwkv7(d_head, **ranks, norm_eps=_GROUP_EPS),
        d_ff=model.get_int("rwkv7.feed_forward_length", 1, 2**22),
        d_model=d_model,
        n_vocab=read_n_vocab(model, "rwkv7"),
        n_layers=model.get_int("rwkv7.block_count", 1, 4096),
        n_ctx=model.get_int("rwkv7.context_length", 1, 2**24),
        eps=get_float(model, "rwkv7.attention.layer_norm_epsilon", 1e-12, 1.0),
        is_tied=is_tied(model),
    )


def to_gguf(blueprint: Blueprint) -> dict[str, Any]:
    """The metadata of a blueprint. Raises BadInput if the architecture `rwkv7` cannot express it."""
    spec, network = _parts(blueprint)
    metadata = {
        "general.architecture": "rwkv7",
        "rwkv7.vocab_size": blueprint.n_vocab,
        "rwkv7.context_length": blueprint.n_ctx,
        "rwkv7.embedding_length": blueprint.d_model,
        "rwkv7.block_count": blueprint.n_layers,
        "rwkv7.feed_forward_length": network.d_ff,
        "rwkv7.attention.head_count": 0,  # llama.cpp requires the key and does not use it
        "rwkv7.attention.layer_norm_epsilon": eps_of(blueprint),
        "rwkv7.wkv.head_size": spec.d_head,
        **{
            f"rwkv7.attention.{name}_lora_rank": getattr(spec, rank)
            for name, rank in zip(_GGUF_RANKS, _RANKS, strict=True)
        },
    }
    written = InMemoryGguf(blueprint, metadata, tensor_map(blueprint, "gguf"))
    check_round_trip(blueprint, from_gguf(written), "GGUF")
    return metadata


def gguf_copies(blueprint: Blueprint) -> dict[str, str]:
    """Stored tensors that llama.cpp requires and does not use, and the tensor of ours that fills them."""
    at = "blocks.0.recurrence.rate"
    parts = ("bias", "down.weight", "up.weight")
    return {f"blk.0.time_mix_v{i}.weight": f"{at}.{part}" for i, part in enumerate(parts)}


def tensor_map(blueprint: Blueprint, kind: Kind) -> dict[str, TensorSource]:
    """The source of each of our tensors in a file."""
    names = rename_tensors(blueprint, _GGUF if kind == "gguf" else _HF)
    d_model = blueprint.d_model
    for i, block in enumerate(blueprint.blocks):
        if not isinstance(block.recurrence, Rwkv7):
            continue
        at = f"blocks.{i}.recurrence"
        if kind == "gguf":
            shape = (len(_SHIFTS), d_model)
            names[f"{at}.shift"] = Reshaped(names[f"{at}.shift"], shape, (len(_SHIFTS), 1, 1, d_model))
            continue
        stored = (Rename(f"model.layers.{i}.attn.x_{letter}") for letter in _SHIFTS)
        rows = tuple(Reshaped(name, (d_model,), (1, 1, d_model)) for name in stored)
        names[f"{at}.shift"] = Stacked(rows)
        heads = (d_model // block.recurrence.d_head, block.recurrence.d_head)
        names[f"{at}.bonus"] = Reshaped(names[f"{at}.bonus"], (d_model,), heads)
    return names


def _blueprint(
    spec: Rwkv7,
    *,
    d_ff: int,
    d_model: int,
    n_vocab: int,
    n_layers: int,
    n_ctx: int,
    eps: float,
    is_tied: bool,
) -> Blueprint:
    norm = LayerNorm(eps)
    later = Block(None, ChannelMix(d_ff), norm, recurrence=spec)
    first = replace(later, recurrence=replace(spec, value_rank=0))
    return Blueprint(
        family="rwkv7",
        d_model=d_model,
        n_vocab=n_vocab,
        n_ctx=n_ctx,
        blocks=(first, *(later,) * (n_layers - 1)),
        final_norm=norm,
        embedding=Embedding(norm=norm),
        head=Head(is_tied=is_tied),
    )


def _parts(blueprint: Blueprint) -> tuple[Rwkv7, ChannelMix]:
    """The last block's parts. Raises BadInput if they are of another kind."""
    block = blueprint.blocks[-1]
    if not isinstance(block.recurrence, Rwkv7) or not isinstance(block.ffn, ChannelMix):
        raise BadInput("a file of the family rwkv7 needs blocks of Rwkv7 and ChannelMix")
    spec = block.recurrence
    # With one block there are no values of another to mix in, but files have a rank.
    return (replace(spec, value_rank=spec.rate_rank) if not spec.value_rank else spec), block.ffn


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
