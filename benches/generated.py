"""Write models with random weights in any number format; speed does not depend on the values.

The architecture is Llama. `1b` has the sizes of Llama 3.2 1B and `4b` those of Qwen3 4B; `135m` has as many
weights as SmolLM2-135M, but rows that are multiples of 256, which Q4_K and Q6_K require (SmolLM2's rows have
576 columns). Every matrix uses the format, embedding and head included.

    python benches/generated.py 135m Q4_K model.gguf
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zeropoint import families, formats
from zeropoint.blueprint import Block, Blueprint, catalog
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.norm import RMSNorm
from zeropoint.blueprint.parts.position import Rope
from zeropoint.blueprint.sources import stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.tokenizers.core.byte_level import bytes_to_unicode
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.packing import Bytes, PackedTensor, packed_bytes

__all__ = ["SIZES", "write_generated"]

_POOL_WEIGHTS = 1 << 20  # drawn and packed once; every matrix repeats these blocks


def _small() -> Blueprint:
    attention = Attention(n_heads=12, n_kv_heads=4, d_head=64, position=Rope(base=10000.0, n_rotated=64))
    block = Block(attention, Gated(2048), RMSNorm(1e-5))
    return Blueprint("llama", 768, 49152, 8192, (block,) * 16, final_norm=RMSNorm(1e-5))


def _medium() -> Blueprint:
    attention = Attention(n_heads=32, n_kv_heads=8, d_head=128, position=Rope(base=1e6, n_rotated=128))
    block = Block(attention, Gated(9728), RMSNorm(1e-6))
    return Blueprint("llama", 2560, 151936, 40960, (block,) * 36, final_norm=RMSNorm(1e-6))


SIZES = {"135m": _small, "1b": lambda: catalog.load("llama-3.2-1b"), "4b": _medium}


def write_generated(path: Path, size: str, form: str, seed: int = 0) -> None:
    """Write a GGUF file of a size ("135m", "1b", "4b") with every matrix in a format ("Q4_K")."""
    blueprint = SIZES[size]()
    family = families.for_blueprint(blueprint)
    sources = family.tensor_map(blueprint, "gguf")  # reordering rows would not change the speed
    rng = np.random.default_rng(seed)
    pool = _pool(rng, form)
    tensors = [
        _packed(stored_names(sources[ours])[0], shape, "F32" if len(shape) == 1 else form, pool)
        for ours, shape in parameters(blueprint).items()
    ]
    for name, values in family.gguf_tensors(blueprint).items():
        array = np.asarray(values, np.float32).view(np.uint8)
        tensors.append(PackedTensor(name, (len(values),), "F32", array.nbytes, lambda a=array: iter([a])))  # type: ignore[misc]
    write_gguf(path, {**family.to_gguf(blueprint), **_vocabulary(blueprint.n_vocab)}, tensors)


def _pool(rng: np.random.Generator, form: str) -> Bytes:
    """Packed blocks of normal weights with the standard deviation of trained models."""
    weights = rng.normal(0.0, 0.02, (1024, _POOL_WEIGHTS // 1024)).astype(np.float32)
    return formats.get(form).pack(weights).reshape(-1)


def _packed(name: str, shape: tuple[int, ...], form: str, pool: Bytes) -> PackedTensor:
    n_bytes = packed_bytes(shape, form)

    def chunks() -> Iterator[Bytes]:
        if len(shape) == 1:
            yield np.ones(math.prod(shape), np.float32).view(np.uint8)
            return
        for start in range(0, n_bytes, pool.size):
            yield pool[: n_bytes - start]

    return PackedTensor(name, shape, form, n_bytes, chunks)


def _vocabulary(n_vocab: int) -> dict[str, object]:
    """A placeholder byte-level vocabulary: the bytes, two merges, and words that nothing produces."""
    tokens = [*bytes_to_unicode().values(), "t0", "t1"]
    tokens += [f"word{i}" for i in range(n_vocab - len(tokens))]
    return {
        "general.name": "random weights",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": [1] * len(tokens),
        "tokenizer.ggml.merges": ["t 0", "t 1"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }


def main() -> None:
    """Write one file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("format", choices=formats.names())
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    write_generated(options.path, options.size, options.format)


if __name__ == "__main__":
    main()
