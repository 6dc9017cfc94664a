"""The architecture shared by Llama, Mistral, Qwen, Phi-3 and Mixtral, in config.json and in GGUF."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention, Bias
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.errors import BadInput
from zeropoint.families import GgufMetadata
from zeropoint.families._gguf import (
    get_float,
    read_kv_heads,
    read_sizes,
    rope_from_gguf,
    rope_to_gguf,
    write_sizes,
)
from zeropoint.families._hf import (
    ACTIVATIONS,
    FULL,
    SLIDING,
    HfConfig,
    activation_to_hf,
    rope_from_hf,
    rope_to_hf,
)
from zeropoint.families._parts import eps_of, network_of, rope_of

__all__ = [
    "layer_windows",
    "layer_windows_to_hf",
    "llama_like_from_gguf",
    "llama_like_from_hf",
    "llama_like_to_gguf",
    "llama_like_to_hf",
]


def llama_like_from_hf(
    c: HfConfig,
    family: str,
    bias: Bias = "none",
    windows: tuple[int | None, ...] = (),
    has_query_key_norm: bool = False,
    base: float = 10000.0,
    eps: float = 1e-6,
    rope: Rope | None = None,
) -> Blueprint:
    """A blueprint of pre-norm blocks: grouped-query attention with RoPE, and a gated feed-forward network.

    windows: one per block; empty for none. base, eps: the family's defaults for absent keys. rope: by default
    the config's. Raises BadModelFile.
    """
    d_model, n_heads = c.get_int("hidden_size", 1, 2**20), c.get_int("num_attention_heads", 1, 65536)
    d_head = c.get_int("head_dim", 1, 4096, default=max(d_model // n_heads, 1))
    norm = RMSNorm(c.get_float("rms_norm_eps", default=eps))
    query_key_norm = norm if has_query_key_norm else None
    ffn = Gated(c.get_int("intermediate_size", 1, 2**22), c.choose("hidden_act", ACTIVATIONS, default="silu"))
    n_layers = c.get_int("num_hidden_layers", 1, 4096)
    n_kv_heads = c.get_int("num_key_value_heads", 1, n_heads, default=n_heads)
    position = rope or rope_from_hf(c, d_head, base)
    attention = Attention(n_heads, n_kv_heads, d_head, position, bias=bias, query_key_norm=query_key_norm)
    blocks = tuple(
        Block(replace(attention, window=window), ffn, norm) for window in windows or (None,) * n_layers
    )
    return Blueprint(
        family=family,
        d_model=d_model,
        n_vocab=c.get_int("vocab_size", 2),
        n_ctx=c.get_int("max_position_embeddings", default=2048),
        blocks=blocks,
        final_norm=norm,
        head=Head(is_tied=c.get_bool("tie_word_embeddings", default=False)),
    )


def llama_like_to_hf(
    blueprint: Blueprint, model_type: str, architecture: str, rope: Rope | None = None
) -> dict[str, Any]:
    """The keys that `llama_like_from_hf` reads, taken from a blueprint's first block, or from `rope`."""
    a, ffn = blueprint.attention, network_of(blueprint)
    return {
        "architectures": [architecture],
        "model_type": model_type,
        "hidden_size": blueprint.d_model,
        "num_hidden_layers": blueprint.n_layers,
        "num_attention_heads": a.n_heads,
        "num_key_value_heads": a.n_kv_heads,
        "head_dim": a.d_head,
        "intermediate_size": ffn.d_ff,
        "hidden_act": activation_to_hf(ffn.activation),
        "max_position_embeddings": blueprint.n_ctx,
        "vocab_size": blueprint.n_vocab,
        "rms_norm_eps": eps_of(blueprint),
        "tie_word_embeddings": blueprint.is_tied,
        **rope_to_hf(rope or rope_of(blueprint), a.d_head, blueprint.n_ctx),
    }


def layer_windows(config: HfConfig, window: int | None, sliding: tuple[bool, ...]) -> tuple[int | None, ...]:
    """The window of each block, according to the config's `layer_types`, else to `sliding`."""
    types = config.get_strings("layer_types", (FULL, SLIDING), len(sliding))
    if types is not None:
        sliding = tuple(layer_type == SLIDING for layer_type in types)
    return tuple(window if is_sliding else None for is_sliding in sliding)


def layer_windows_to_hf(blueprint: Blueprint) -> dict[str, Any]:
    """`sliding_window` and `layer_types`. Raises BadInput for windows of several sizes."""
    windows = [attention.window for attention in blueprint.attentions]
    sizes = set(windows) - {None}
    if len(sizes) > 1:
        raise BadInput(f"the blocks' windows are {sorted(map(str, sizes))}; config.json supports one size")
    types = [FULL if window is None else SLIDING for window in windows]
    return {"sliding_window": next(iter(sizes), None), "layer_types": types}


def llama_like_from_gguf(
    model: GgufMetadata,
    arch: str,
    *,
    is_interleaved: bool = False,
    bias: Bias = "none",
    has_query_key_norm: bool = False,
    window: int | None = None,
    is_hybrid: bool = False,
) -> Blueprint:
    """Like `llama_like_from_hf`, from a GGUF file's metadata.

    is_hybrid: blocks may have no key/value heads; they get no attention, and the caller adds a recurrence.
    """
    minimum = 0 if is_hybrid else 1
    s = read_sizes(model, arch, min_kv_heads=minimum)
    norm = RMSNorm(get_float(model, f"{arch}.attention.layer_norm_rms_epsilon", 1e-12, 1.0))
    attention = Attention(
        n_heads=s.n_heads,
        n_kv_heads=s.n_kv_heads,
        d_head=s.d_head,
        position=rope_from_gguf(model, arch, s.d_head, is_interleaved),
        bias=bias,
        window=window,
        query_key_norm=norm if has_query_key_norm else None,
    )
    kv_heads = read_kv_heads(model, arch, s.n_layers, s.n_heads, minimum=minimum)
    attentions = (replace(attention, n_kv_heads=n) if n else None for n in kv_heads)
    return Blueprint(
        family=arch,
        d_model=s.d_model,
        n_vocab=s.n_vocab,
        n_ctx=s.n_ctx,
        blocks=tuple(Block(attention, Gated(s.d_ff), norm) for attention in attentions),
        final_norm=norm,
        head=Head(is_tied=s.is_tied),
    )


def llama_like_to_gguf(blueprint: Blueprint, arch: str, rope: Rope | None = None) -> dict[str, Any]:
    """The keys that `llama_like_from_gguf` reads, taken from a blueprint's first block, or from `rope`."""
    metadata = write_sizes(blueprint, arch) | rope_to_gguf(rope or rope_of(blueprint), arch)
    return metadata | {f"{arch}.attention.layer_norm_rms_epsilon": eps_of(blueprint)}
