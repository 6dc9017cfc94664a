"""GGUF metadata that all decoders share: sizes, and rotary positions with their scaling.

Facts: the GGUF specification, "LLM", and the keys in the gguf package's constants.py.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.position import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    Rope,
    RopeScaling,
    YarnScaling,
)
from zeropoint.blueprint.sources import TensorSource, stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadModelFile
from zeropoint.families import FACTOR_TENSORS, GgufMetadata
from zeropoint.families._parts import network_of
from zeropoint.frozen import frozen

__all__ = [
    "InMemoryGguf",
    "Sizes",
    "get_float",
    "gguf_tensors",
    "read_sizes",
    "rope_from_gguf",
    "rope_to_gguf",
    "write_sizes",
]

_FACTORS, _LONG, _SHORT = FACTOR_TENSORS
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


@frozen
class Sizes:
    """What the metadata of every decoder says."""

    d_model: int
    n_layers: int
    n_ctx: int
    n_vocab: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_ff: int
    is_tied: bool


def read_sizes(model: GgufMetadata, arch: str) -> Sizes:
    """The sizes of a file. Raises BadModelFile naming the key at fault."""
    d_model = model.get_int(f"{arch}.embedding_length", 1, 2**20)
    n_heads = model.get_int(f"{arch}.attention.head_count", 1, 65536)
    d_head = model.get_int(f"{arch}.attention.key_length", 1, 4096, default=max(d_model // n_heads, 1))
    d_value = model.get_int(f"{arch}.attention.value_length", 1, 4096, default=d_head)
    if d_value != d_head:
        raise BadModelFile(
            f"{model.name}: metadata `{arch}.attention.value_length` is {d_value}; it must be the key "
            f"length, {d_head}"
        )
    return Sizes(
        d_model=d_model,
        n_layers=model.get_int(f"{arch}.block_count", 1, 4096),
        n_ctx=model.get_int(f"{arch}.context_length", 1, 2**24),
        n_vocab=_vocabulary(model, arch),
        n_heads=n_heads,
        n_kv_heads=model.get_int(f"{arch}.attention.head_count_kv", 1, n_heads, default=n_heads),
        d_head=d_head,
        d_ff=model.get_int(f"{arch}.feed_forward_length", 1, 2**22),
        is_tied=_HEAD not in model.tensors,
    )


def write_sizes(blueprint: Blueprint, arch: str) -> dict[str, Any]:
    """The metadata of `sizes_of`, and the architecture's name."""
    a = blueprint.blocks[0].attention
    metadata = {
        "general.architecture": arch,
        f"{arch}.vocab_size": blueprint.n_vocab,
        f"{arch}.context_length": blueprint.n_ctx,
        f"{arch}.embedding_length": blueprint.d_model,
        f"{arch}.block_count": blueprint.n_layers,
        f"{arch}.feed_forward_length": network_of(blueprint).d_ff,
        f"{arch}.attention.head_count": a.n_heads,
        f"{arch}.attention.head_count_kv": a.n_kv_heads,
    }
    if a.d_query != blueprint.d_model:
        metadata |= {f"{arch}.attention.key_length": a.d_head, f"{arch}.attention.value_length": a.d_head}
    return metadata


def get_float(model: GgufMetadata, key: str, minimum: float, maximum: float, *, default: Any = None) -> float:
    """A float as it was meant: the shortest decimal of the 32 bits (1e-05, not 9.999999747378752e-06)."""
    if default is None:
        return _shortest(model.get_float(key, minimum, maximum))
    return _shortest(model.get_float(key, minimum, maximum, default=default))


def rope_from_gguf(model: GgufMetadata, arch: str, d_head: int, is_interleaved: bool) -> Rope:
    """The rope of a file. Raises BadModelFile for a scaling that is not known."""
    factors = _factors(model, _FACTORS)
    rope = Rope(
        base=get_float(model, f"{arch}.rope.freq_base", 1.0, 1e12, default=10000.0),
        n_rotated=model.get_int(f"{arch}.rope.dimension_count", 0, d_head, default=d_head),
        is_interleaved=is_interleaved,
        scaling=_scaling_of_gguf(model, f"{arch}.rope.scaling", arch),
    )
    known = Llama3Scaling(max(factors, default=1.0), 1.0, 4.0, 8192)  # all of Llama 3.1 and 3.2
    is_sound = all(math.isfinite(f) and f > 0 for f in factors)
    if factors and is_sound and rope.scaling is None and _close(factors, _as_factors(rope, known)):
        return Rope(rope.base, rope.n_rotated, is_interleaved, known)
    return Rope(rope.base, rope.n_rotated, is_interleaved, rope.scaling, factors)


def _scaling_of_gguf(model: GgufMetadata, key: str, arch: str) -> RopeScaling | None:
    factor = get_float(model, f"{key}.factor", 0.0, 1e6, default=0.0)
    n_ctx = model.get_int(f"{arch}.context_length", 1, 2**24)
    n_original = model.get_int(f"{key}.original_context_length", 1, 2**24, default=n_ctx)
    attention = get_float(model, f"{key}.attn_factor", 1e-6, 1e6, default=1.0)
    long, short = _factors(model, _LONG), _factors(model, _SHORT)
    if long and short:
        return LongRopeScaling(short, long, n_original, attention)
    kind = model.get_str(f"{key}.type", default="none" if factor in (0.0, 1.0) else "linear")
    match kind:
        case "none" | "longrope":  # of a LongRoPE file without its tensors, the header is all there is
            return None
        case "linear":
            return LinearScaling(factor)
        case "yarn":
            whole = None if attention == 1.0 else attention * (0.1 * math.log(max(factor, 1.0)) + 1.0)
            fast = get_float(model, f"{key}.yarn_beta_fast", 0.0, 1e6, default=32.0)
            slow = get_float(model, f"{key}.yarn_beta_slow", 0.0, 1e6, default=1.0)
            return YarnScaling(factor, n_original, fast, slow, whole)
    raise BadModelFile(
        f"{model.name}: metadata `{key}.type` is {kind!r}; it must be 'none', 'linear', 'yarn' or 'longrope'"
    )


def rope_to_gguf(rope: Rope, arch: str) -> dict[str, Any]:
    """The metadata of a rope; what it cannot say is in `gguf_tensors`, or found by reading it again."""
    key = f"{arch}.rope.scaling"
    metadata: dict[str, Any] = {
        f"{arch}.rope.freq_base": float(rope.base),
        f"{arch}.rope.dimension_count": rope.n_rotated,
    }
    match rope.scaling:
        case LinearScaling(factor):
            metadata |= {f"{key}.type": "linear", f"{key}.factor": float(factor)}
        case YarnScaling(factor, n_original, fast, slow, whole):
            metadata |= {
                f"{key}.type": "yarn",
                f"{key}.factor": float(factor),
                f"{key}.original_context_length": n_original,
                f"{key}.yarn_beta_fast": float(fast),
                f"{key}.yarn_beta_slow": float(slow),
            }
            if whole is not None:
                metadata[f"{key}.attn_factor"] = whole / (0.1 * math.log(max(factor, 1.0)) + 1.0)
        case LongRopeScaling(_, _, n_original, attention):
            metadata[f"{key}.original_context_length"] = n_original
            metadata[f"{key}.attn_factor"] = float(attention)
    return metadata


def gguf_tensors(blueprint: Blueprint) -> dict[str, tuple[float, ...]]:
    """Small float32 tensors that stand for metadata: factors of rotary frequencies."""
    match blueprint.blocks[0].attention.position:
        case Rope(scaling=LongRopeScaling(short, long)):
            return {_LONG: long, _SHORT: short}
        case Rope(scaling=Llama3Scaling() as scaling) as rope:
            return {_FACTORS: _as_factors(rope, scaling)}
        case Rope(frequency_factors=factors) if factors:
            return {_FACTORS: factors}
    return {}


class InMemoryGguf:
    """What was written, to be read again as a `GgufMetadata`."""

    name = "the metadata"
    paths = (None,)

    def __init__(
        self, blueprint: Blueprint, metadata: Mapping[str, Any], sources: Mapping[str, TensorSource]
    ) -> None:
        self.metadata = metadata
        self.arrays = gguf_tensors(blueprint)
        shapes = parameters(blueprint)
        # A fused tensor gets the shape of one of its parts; only the embedding's is read.
        self.tensors = {
            name: SimpleNamespace(shape=shapes[ours])
            for ours, source in sources.items()
            for name in stored_names(source)
        }
        self.tensors |= {name: SimpleNamespace(shape=(len(x),)) for name, x in self.arrays.items()}

    def array(self, name: str) -> tuple[float, ...]:
        return self.arrays[name]

    def get_int(self, key: str, minimum: int, maximum: int, *, default: int = 0) -> int:
        return int(self.metadata.get(key, default))

    def get_float(self, key: str, minimum: float = 0, maximum: float = 0, *, default: float = 0) -> float:
        return float(self.metadata.get(key, default))

    def get_str(self, key: str, *, default: str = "") -> str:
        return str(self.metadata.get(key, default))


def _as_factors(rope: Rope, scaling: Llama3Scaling) -> tuple[float, ...]:
    plain, scaled = Rope(rope.base, rope.n_rotated), Rope(rope.base, rope.n_rotated, scaling=scaling)
    return tuple(f / g for f, g in zip(plain.frequencies(), scaled.frequencies(), strict=True))


def _factors(model: GgufMetadata, name: str) -> tuple[float, ...]:
    if name not in model.tensors or not model.paths:  # without paths, only a header is here
        return ()
    shape = model.tensors[name].shape
    if len(shape) != 1 or shape[0] > 4096:  # one a pair of a head's columns
        raise BadModelFile(
            f"{model.name}: tensor {name} has shape {tuple(shape)}; it must have one item a rotary pair"
        )
    return tuple(_shortest(float(x)) for x in model.array(name))


def _close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True)
    )


def _vocabulary(model: GgufMetadata, arch: str) -> int:
    """The rows of the embedding, which the metadata may repeat but not contradict."""
    embedding = model.tensors.get(_EMBEDDING)
    if embedding is None:
        raise BadModelFile(f"{model.name}: tensor {_EMBEDDING} is missing")
    n_vocab = int(embedding.shape[0])
    said = model.get_int(f"{arch}.vocab_size", 1, 2**24, default=n_vocab)
    if said != n_vocab:
        raise BadModelFile(
            f"{model.name}: metadata `{arch}.vocab_size` is {said}; the embedding has {n_vocab} rows"
        )
    return n_vocab


def _shortest(value: float) -> float:
    """The shortest decimal that a float32 rounds from; the value itself where float32 cannot hold it."""
    try:
        packed = struct.pack("<f", value)
    except OverflowError:
        return value
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if math.isfinite(short) and _fits(short) and struct.pack("<f", short) == packed:
            return short
    return value


def _fits(value: float) -> bool:
    return abs(value) < 3.4028235677973366e38  # rounds to a finite float32
