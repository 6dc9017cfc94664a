"""Tiny seeded Llama models as GGUF files in any weight format, written with the `gguf` package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from tests.support.packed import packed_matrix
from zeropoint import formats

TINY_FORMATS = [name for name in formats.names() if name in gguf.GGMLQuantizationType.__members__]
"""The formats of tiny models: all but Q2_0, which the `gguf` package cannot write."""
CHARACTERS = [chr(c) for c in range(33, 127)]
MERGES = ["a b", "ab c"]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class Tiny:
    """Sizes of a tiny model. The vocabulary is all bytes in byte-level spelling and a few control tokens.

    Row lengths are rounded up to multiples of the format's block: 256 for the K-quants.
    """

    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: int = 2
    d_head: int = 16
    d_model: int = 64
    d_ff: int = 96
    n_ctx: int = 256
    rope_base: float = 10000.0
    is_tied: bool = True
    format: str = "F32"
    seed: int = 0

    def __post_init__(self) -> None:
        block = formats.get(self.format).BLOCK_WEIGHTS
        for size, unit in (("d_model", block), ("d_ff", block), ("d_head", -(-block // self.n_heads))):
            object.__setattr__(self, size, -(-getattr(self, size) // unit) * unit)


def vocabulary() -> tuple[list[str], list[int]]:
    """Tokens and their GGUF types: control tokens (3), then bytes in GPT-2's alphabet and merges (1)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {b: chr(b) for b in printable}
    for n, byte in enumerate(b for b in range(256) if b not in alphabet):
        alphabet[byte] = chr(256 + n)
    tokens = [*CONTROL, *(alphabet[b] for b in range(256)), *("".join(pair.split()) for pair in MERGES)]
    return tokens, [3] * len(CONTROL) + [1] * (len(tokens) - len(CONTROL))


def tiny_weights(tiny: Tiny) -> dict[str, np.ndarray]:
    """GGUF names to float32 weights."""
    rng = np.random.default_rng(tiny.seed)
    n_vocab = len(vocabulary()[0])
    q, kv = tiny.n_heads * tiny.d_head, tiny.n_kv_heads * tiny.d_head

    def matrix(rows: int, cols: int) -> np.ndarray:
        return (rng.standard_normal((rows, cols)) / np.sqrt(cols)).astype(np.float32)

    weights = {"token_embd.weight": matrix(n_vocab, tiny.d_model)}
    for i in range(tiny.n_layers):
        at = f"blk.{i}."
        weights |= {
            at + "attn_norm.weight": (1 + 0.1 * rng.standard_normal(tiny.d_model)).astype(np.float32),
            at + "attn_q.weight": matrix(q, tiny.d_model),
            at + "attn_k.weight": matrix(kv, tiny.d_model),
            at + "attn_v.weight": matrix(kv, tiny.d_model),
            at + "attn_output.weight": matrix(tiny.d_model, q),
            at + "ffn_norm.weight": (1 + 0.1 * rng.standard_normal(tiny.d_model)).astype(np.float32),
            at + "ffn_gate.weight": matrix(tiny.d_ff, tiny.d_model),
            at + "ffn_up.weight": matrix(tiny.d_ff, tiny.d_model),
            at + "ffn_down.weight": matrix(tiny.d_model, tiny.d_ff),
        }
    weights["output_norm.weight"] = (1 + 0.1 * rng.standard_normal(tiny.d_model)).astype(np.float32)
    if not tiny.is_tied:
        weights["output.weight"] = matrix(n_vocab, tiny.d_model)
    return weights


def write_tiny_model(
    path: Path,
    tiny: Tiny | None = None,
    *,
    weights: Mapping[str, np.ndarray] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the model. weights: replaces tensors, or omits them (None). extra: additional metadata."""
    tiny = tiny or Tiny()
    tokens, types = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_block_count(tiny.n_layers)
    writer.add_context_length(tiny.n_ctx)
    writer.add_embedding_length(tiny.d_model)
    writer.add_feed_forward_length(tiny.d_ff)
    writer.add_head_count(tiny.n_heads)
    writer.add_head_count_kv(tiny.n_kv_heads)
    writer.add_key_length(tiny.d_head)
    writer.add_rope_freq_base(tiny.rope_base)
    writer.add_rope_dimension_count(tiny.d_head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for key, value in (extra or {}).items():
        writer.add_key_value(key, *value)
    for name, array in {**tiny_weights(tiny), **(weights or {})}.items():
        if array is None:
            continue
        form = "F32" if array.ndim == 1 else tiny.format
        writer.add_tensor(name, _packed(array, form), raw_dtype=gguf.GGMLQuantizationType[form])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _packed(weights: np.ndarray, form: str) -> np.ndarray:
    """Packed by the `gguf` package if it supports the format, else by ours; random if it is read only."""
    if form not in formats.writable():
        return packed_matrix(form, *weights.shape, seed=0)
    try:
        return gguf.quants.quantize(weights, gguf.GGMLQuantizationType[form])
    except NotImplementedError:
        return formats.get(form).pack(weights)
