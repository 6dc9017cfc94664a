"""Llama 1, 2 and 3, and what is built alike: SmolLM2, TinyLlama, Mistral 7B without its window.

Touvron et al., "LLaMA: Open and Efficient Foundation Language Models", 2023, section 2.2.
GGUF keys: the GGUF specification, "LLM", architecture `llama`.
"""

from __future__ import annotations

from zeropoint.blueprint import Block, Blueprint, Head
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import LinearScaling, Rope
from zeropoint.errors import BadModelFile
from zeropoint.families import GgufMetadata

__all__ = ["FREQUENCY_FACTORS", "from_gguf", "gguf_names"]

# A tensor, not metadata, in files of Llama 3.1 and later.
FREQUENCY_FACTORS = "rope_freqs.weight"

_TOP = {
    "embedding.weight": "token_embd.weight",
    "final_norm.weight": "output_norm.weight",
    "head.weight": "output.weight",
}
_BLOCK = {
    "attention_norm.weight": "attn_norm.weight",
    "attention.query.weight": "attn_q.weight",
    "attention.key.weight": "attn_k.weight",
    "attention.value.weight": "attn_v.weight",
    "attention.output.weight": "attn_output.weight",
    "ffn_norm.weight": "ffn_norm.weight",
    "ffn.gate.weight": "ffn_gate.weight",
    "ffn.up.weight": "ffn_up.weight",
    "ffn.down.weight": "ffn_down.weight",
}


def gguf_names(blueprint: Blueprint) -> dict[str, str]:
    """Our tensor names to those of a GGUF file."""
    names = {
        ours: theirs for ours, theirs in _TOP.items() if ours != "head.weight" or not blueprint.is_tied
    }
    for i in range(blueprint.n_layers):
        names |= {f"blocks.{i}.{ours}": f"blk.{i}.{theirs}" for ours, theirs in _BLOCK.items()}
    return names


def from_gguf(model: GgufMetadata, frequency_factors: tuple[float, ...] = ()) -> Blueprint:
    """The blueprint in a file's metadata. Raises BadModelFile naming the key at fault."""
    if model.get_int("llama.expert_count", 0, 2**16, default=0) > 0:
        raise BadModelFile(
            f"{model.name}: metadata `llama.expert_count`: mixtures of experts cannot be run yet"
        )
    d_model = model.get_int("llama.embedding_length", 1, 2**20)
    n_heads = model.get_int("llama.attention.head_count", 1, 65536)
    d_head = model.get_int("llama.attention.key_length", 1, 4096, default=max(d_model // n_heads, 1))
    attention = Attention(
        n_heads=n_heads,
        n_kv_heads=model.get_int("llama.attention.head_count_kv", 1, n_heads, default=n_heads),
        d_head=d_head,
        position=_rope(model, d_head, frequency_factors),
    )
    norm = RMSNorm(model.get_float("llama.attention.layer_norm_rms_epsilon", 1e-12, 1.0))
    block = Block(attention, Gated(model.get_int("llama.feed_forward_length", 1, 2**22)), norm)
    return Blueprint(
        family="llama",
        d_model=d_model,
        n_vocab=_vocabulary(model),
        n_ctx=model.get_int("llama.context_length", 1, 2**24),
        blocks=(block,) * model.get_int("llama.block_count", 1, 4096),
        final_norm=norm,
        head=Head(is_tied=_TOP["head.weight"] not in model.tensors),
    )


def _rope(model: GgufMetadata, d_head: int, frequency_factors: tuple[float, ...]) -> Rope:
    scaling = model.get_str("llama.rope.scaling.type", default="none")
    linear = None
    if scaling == "linear":
        linear = LinearScaling(model.get_float("llama.rope.scaling.factor", 1.0, 1e6))
    elif scaling != "none":
        raise BadModelFile(
            f"{model.name}: metadata `llama.rope.scaling.type` is {scaling!r}; it must be 'none' or 'linear'"
        )
    return Rope(
        base=model.get_float("llama.rope.freq_base", 1.0, 1e12, default=10000.0),
        n_rotated=model.get_int("llama.rope.dimension_count", 0, d_head, default=d_head),
        is_interleaved=True,
        scaling=linear,
        frequency_factors=frequency_factors,
    )


def _vocabulary(model: GgufMetadata) -> int:
    """The rows of the embedding, which the metadata may repeat but not contradict."""
    embedding = model.tensors.get(_TOP["embedding.weight"])
    if embedding is None:
        raise BadModelFile(f"{model.name}: tensor {_TOP['embedding.weight']} is missing")
    n_vocab = int(embedding.shape[0])
    said = model.get_int("llama.vocab_size", 1, 2**24, default=n_vocab)
    if said != n_vocab:
        raise BadModelFile(
            f"{model.name}: metadata `llama.vocab_size` is {said}; the embedding has {n_vocab} rows"
        )
    return n_vocab
