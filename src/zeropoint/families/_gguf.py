"""GGUF metadata shared by all decoders: sizes, and RoPE with its scaling.

Sources: the GGUF specification, section "LLM", and the keys in the gguf package's constants.py.
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
    ProportionalScaling,
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
    "get_layer_ints",
    "gguf_tensors",
    "is_tied",
    "one_or_list",
    "read_kv_heads",
    "read_n_vocab",
    "read_sizes",
    "rope_from_gguf",
    "rope_to_gguf",
    "write_sizes",
]

_FACTORS, _LONG, _SHORT = FACTOR_TENSORS
_STOPPED = 1e30  # a factor that divides a frequency to nothing
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"


@frozen
class Sizes:
    """The sizes that every decoder declares. n_kv_heads: of the first layer with attention."""

    d_model: int
    n_layers: int
    n_ctx: int
    n_vocab: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    d_ff: int
    is_tied: bool


def read_sizes(
    model: GgufMetadata, arch: str, *, min_kv_heads: int = 1, has_layer_d_ff: bool = False
) -> Sizes:
    """Read the sizes from a file's metadata. Raises BadModelFile naming the key at fault.

    min_kv_heads: 0 if layers may have no attention.
    """
    d_model = model.get_int(f"{arch}.embedding_length", 1, 2**20)
    n_heads = model.get_int(f"{arch}.attention.head_count", 1, 65536)
    d_head = model.get_int(f"{arch}.attention.key_length", 1, 4096, default=max(d_model // n_heads, 1))
    d_value = model.get_int(f"{arch}.attention.value_length", 1, 4096, default=d_head)
    if d_value != d_head:
        raise BadModelFile(
            f"{model.name}: metadata `{arch}.attention.value_length` is {d_value}; it must be the key "
            f"length, {d_head}"
        )
    n_layers = model.get_int(f"{arch}.block_count", 1, 4096)
    kv_heads = read_kv_heads(model, arch, n_layers, n_heads, minimum=min_kv_heads)
    d_ff = f"{arch}.feed_forward_length"
    return Sizes(
        d_model=d_model,
        n_layers=n_layers,
        n_ctx=model.get_int(f"{arch}.context_length", 1, 2**24),
        n_vocab=read_n_vocab(model, arch),
        n_heads=n_heads,
        n_kv_heads=next(n for n in kv_heads if n),
        d_head=d_head,
        d_ff=get_layer_ints(model, d_ff, n_layers, 1, 2**22)[0]
        if has_layer_d_ff
        else model.get_int(d_ff, 1, 2**22),
        is_tied=is_tied(model),
    )


def read_kv_heads(
    model: GgufMetadata, arch: str, n_layers: int, n_heads: int, *, minimum: int = 1
) -> tuple[int, ...]:
    """The key/value heads of each layer: 0 for one without attention. At least one layer has attention."""
    key = f"{arch}.attention.head_count_kv"
    kv_heads = get_layer_ints(model, key, n_layers, minimum, n_heads, default=n_heads)
    if not any(kv_heads):
        raise BadModelFile(f"{model.name}: metadata `{key}` is 0; it must be 1 to {n_heads} for some layer")
    return kv_heads


def write_sizes(blueprint: Blueprint, arch: str) -> dict[str, Any]:
    """The metadata that `read_sizes` reads, and the architecture's name."""
    a = blueprint.attention
    metadata = {
        "general.architecture": arch,
        f"{arch}.vocab_size": blueprint.n_vocab,
        f"{arch}.context_length": blueprint.n_ctx,
        f"{arch}.embedding_length": blueprint.d_model,
        f"{arch}.block_count": blueprint.n_layers,
        f"{arch}.feed_forward_length": network_of(blueprint).d_ff,
        f"{arch}.attention.head_count": a.n_heads,
        f"{arch}.attention.head_count_kv": one_or_list(
            [0 if block.attention is None else block.attention.n_kv_heads for block in blueprint.blocks]
        ),
    }
    if a.d_query != blueprint.d_model:
        metadata |= {f"{arch}.attention.key_length": a.d_head, f"{arch}.attention.value_length": a.d_head}
    return metadata


def get_float(model: GgufMetadata, key: str, minimum: float, maximum: float, *, default: Any = None) -> float:
    """A float32 value as its shortest decimal (1e-05, not 9.999999747378752e-06)."""
    if default is None:
        return _shortest_decimal(model.get_float(key, minimum, maximum))
    return _shortest_decimal(model.get_float(key, minimum, maximum, default=default))


def get_layer_ints(
    model: GgufMetadata, key: str, n_layers: int, minimum: int, maximum: int, *, default: Any = None
) -> tuple[int, ...]:
    """An integer for each layer: the file has a list of them, or one for all layers."""
    if not isinstance(model.metadata.get(key), list):
        if default is None:
            return (model.get_int(key, minimum, maximum),) * n_layers
        return (model.get_int(key, minimum, maximum, default=default),) * n_layers
    values = model.get_list(key, int)
    if len(values) != n_layers:
        raise BadModelFile(
            f"{model.name}: metadata `{key}` has {len(values)} items; it must have one for each of the "
            f"{n_layers} layers"
        )
    for i, value in enumerate(values):
        if not minimum <= value <= maximum:
            raise BadModelFile(
                f"{model.name}: metadata `{key}` is {value} for layer {i}; it must be {minimum} to {maximum}"
            )
    return tuple(values)


def rope_from_gguf(model: GgufMetadata, arch: str, d_head: int, is_interleaved: bool) -> Rope:
    """The RoPE of a file. Raises BadModelFile for an unknown scaling."""
    factors = _factors(model, _FACTORS)
    rope = Rope(
        base=get_float(model, f"{arch}.rope.freq_base", 1.0, 1e12, default=10000.0),
        n_rotated=model.get_int(f"{arch}.rope.dimension_count", 0, d_head, default=d_head),
        is_interleaved=is_interleaved,
        scaling=_scaling_from_gguf(model, f"{arch}.rope.scaling", arch),
    )
    if isinstance(rope.scaling, LongRopeScaling):
        _check_pairs(model, rope, rope.scaling)
    llama3 = Llama3Scaling(max(factors, default=1.0), 1.0, 4.0, 8192)  # shared by all of Llama 3.1 and 3.2
    is_valid = all(math.isfinite(f) and f > 0 for f in factors)
    n_pairs, n_rotating = rope.n_rotated // 2, factors.count(1.0)
    if 0 < n_rotating < n_pairs and factors == (1.0,) * n_rotating + (_STOPPED,) * (n_pairs - n_rotating):
        return Rope(rope.base, rope.n_rotated, is_interleaved, ProportionalScaling(n_rotating / n_pairs))
    if factors and is_valid and rope.scaling is None and _are_close(factors, _llama3_factors(rope, llama3)):
        return Rope(rope.base, rope.n_rotated, is_interleaved, llama3)
    return Rope(rope.base, rope.n_rotated, is_interleaved, rope.scaling, factors)


def _scaling_from_gguf(model: GgufMetadata, key: str, arch: str) -> RopeScaling | None:
    factor = get_float(model, f"{key}.factor", 0.0, 1e6, default=0.0)
    n_ctx = model.get_int(f"{arch}.context_length", 1, 2**24)
    n_original = model.get_int(f"{key}.original_context_length", 1, 2**24, default=n_ctx)
    attention = get_float(model, f"{key}.attn_factor", 1e-6, 1e6, default=1.0)
    long, short = _factors(model, _LONG), _factors(model, _SHORT)
    if bool(long) != bool(short):
        present, absent = (_LONG, _SHORT) if long else (_SHORT, _LONG)
        raise BadModelFile(f"{model.name}: tensor {absent} is missing; it must be there, as {present} is")
    if long and short:
        return LongRopeScaling(short, long, n_original, attention)
    kind = model.get_str(f"{key}.type", default="none" if factor in (0.0, 1.0) else "linear")
    match kind:
        case "none" | "longrope":  # LongRoPE without its tensors: only the header is available
            return None
        case "linear":
            return LinearScaling(factor)
        case "yarn":
            log = 0.1 * math.log(max(factor, 1.0))
            multiplier = get_float(model, f"{key}.yarn_log_multiplier", 0.0, 1e6, default=0.0)
            is_default = attention == 1.0 and multiplier == 0.0
            scaled = None if is_default else attention * ((log + 1.0) / (multiplier * log + 1.0))
            fast = get_float(model, f"{key}.yarn_beta_fast", 0.0, 1e6, default=32.0)
            slow = get_float(model, f"{key}.yarn_beta_slow", 0.0, 1e6, default=1.0)
            return YarnScaling(factor, n_original, fast, slow, scaled)
    raise BadModelFile(
        f"{model.name}: metadata `{key}.type` is {kind!r}; it must be 'none', 'linear', 'yarn' or 'longrope'"
    )


def rope_to_gguf(rope: Rope, arch: str) -> dict[str, Any]:
    """The metadata of a RoPE; frequency factors are stored as tensors, see `gguf_tensors`."""
    key = f"{arch}.rope.scaling"
    metadata: dict[str, Any] = {
        f"{arch}.rope.freq_base": float(rope.base),
        f"{arch}.rope.dimension_count": rope.n_rotated,
    }
    match rope.scaling:
        case LinearScaling(factor):
            metadata |= {f"{key}.type": "linear", f"{key}.factor": float(factor)}
        case YarnScaling(factor, n_original, fast, slow, scaled):
            metadata |= {
                f"{key}.type": "yarn",
                f"{key}.factor": float(factor),
                f"{key}.original_context_length": n_original,
                f"{key}.yarn_beta_fast": float(fast),
                f"{key}.yarn_beta_slow": float(slow),
            }
            if scaled is not None:
                metadata[f"{key}.attn_factor"] = scaled / (0.1 * math.log(max(factor, 1.0)) + 1.0)
        case LongRopeScaling(_, _, n_original, attention):
            metadata[f"{key}.original_context_length"] = n_original
            metadata[f"{key}.attn_factor"] = float(attention)
    return metadata


def gguf_tensors(blueprint: Blueprint) -> dict[str, tuple[float, ...]]:
    """Small float32 tensors that represent metadata: rotary frequency factors."""
    tensors: dict[str, tuple[float, ...]] = {}
    for attention in blueprint.attentions:
        match attention.position:
            case Rope(scaling=LongRopeScaling(short, long)):
                tensors |= {_LONG: long, _SHORT: short}
            case Rope(scaling=Llama3Scaling() as scaling) as rope:
                tensors[_FACTORS] = _llama3_factors(rope, scaling)
            case Rope(scaling=ProportionalScaling()) as rope:
                rotates = [frequency > 0 for frequency in rope.frequencies()]
                tensors[_FACTORS] = tuple(1.0 if does else _STOPPED for does in rotates)
            case Rope(frequency_factors=factors) if factors:
                tensors[_FACTORS] = factors
    return tensors


class InMemoryGguf:
    """A file about to be written, as a `GgufMetadata` to read back for `check_round_trip`."""

    name = "the metadata"
    paths = (None,)

    def __init__(
        self, blueprint: Blueprint, metadata: Mapping[str, Any], sources: Mapping[str, TensorSource]
    ) -> None:
        self.metadata = metadata
        self.arrays = gguf_tensors(blueprint)
        shapes = parameters(blueprint)
        # A fused tensor gets the shape of one part; families read only the embedding's shape.
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

    def get_bool(self, key: str, *, default: bool = False) -> bool:
        return bool(self.metadata.get(key, default))

    def get_str(self, key: str, *, default: str = "") -> str:
        return str(self.metadata.get(key, default))

    def get_list(self, key: str, item: type[Any], *, default: list[Any] = []) -> list[Any]:  # noqa: B006
        return list(self.metadata.get(key, default))


def one_or_list(values: list[int]) -> int | list[int]:
    """What describes all layers: one value if they agree, else all of them."""
    return values[0] if len(set(values)) == 1 else values


def _llama3_factors(rope: Rope, scaling: Llama3Scaling) -> tuple[float, ...]:
    plain, scaled = Rope(rope.base, rope.n_rotated), Rope(rope.base, rope.n_rotated, scaling=scaling)
    return tuple(f / g for f, g in zip(plain.frequencies(), scaled.frequencies(), strict=True))


def _factors(model: GgufMetadata, name: str) -> tuple[float, ...]:
    if name not in model.tensors or not model.paths:  # without paths, only the header is available
        return ()
    shape = model.tensors[name].shape
    if len(shape) != 1 or shape[0] > 4096:  # one factor per rotary pair of a head
        raise BadModelFile(
            f"{model.name}: tensor {name} has shape {tuple(shape)}; it must have one item per rotary pair"
        )
    return tuple(_shortest_decimal(float(x)) for x in model.array(name))


def _check_pairs(model: GgufMetadata, rope: Rope, scaling: LongRopeScaling) -> None:
    expected = rope.n_rotated // 2
    for name, factors in ((_LONG, scaling.long_factors), (_SHORT, scaling.short_factors)):
        if len(factors) != expected:
            raise BadModelFile(
                f"{model.name}: tensor {name} has {len(factors)} items; it must have {expected}, one for "
                "each rotary pair"
            )


def _are_close(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, other, strict=True)
    )


def is_tied(model: GgufMetadata) -> bool:
    """Whether the head uses the embedding, which a file without the head's own matrix means."""
    return _HEAD not in model.tensors


def read_n_vocab(model: GgufMetadata, arch: str) -> int:
    """The number of rows of the embedding, which `vocab_size` may repeat but not contradict."""
    embedding = model.tensors.get(_EMBEDDING)
    if embedding is None:
        raise BadModelFile(f"{model.name}: tensor {_EMBEDDING} is missing")
    n_vocab = int(embedding.shape[0])
    declared = model.get_int(f"{arch}.vocab_size", 1, 2**24, default=n_vocab)
    if declared != n_vocab:
        raise BadModelFile(
            f"{model.name}: metadata `{arch}.vocab_size` is {declared}; the embedding has {n_vocab} rows"
        )
    return n_vocab


def _shortest_decimal(value: float) -> float:
    """The shortest decimal that rounds to this float32; the value itself if it is out of float32's range."""
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
