"""Hugging Face's config.json: typed getters, activations, and RoPE with its scaling.

Source: transformers' modeling_rope_utils.py. Both layouts are read: transformers 5 groups `rope_theta`,
`partial_rotary_factor` and the scaling in `rope_parameters`; earlier versions have the first two at the top
level and the scaling in `rope_scaling`. The earlier layout is written, because all versions read it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeVar

from zeropoint.blueprint.parts.ffn import Activation
from zeropoint.blueprint.parts.position import (
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    ProportionalScaling,
    Rope,
    RopeScaling,
    YarnScaling,
)
from zeropoint.errors import BadInput, BadModelFile, choices

__all__ = [
    "ACTIVATIONS",
    "FULL",
    "SLIDING",
    "HfConfig",
    "activation_to_hf",
    "layer_ropes_from_hf",
    "rope_from_hf",
    "rope_to_hf",
]

FULL, SLIDING = "full_attention", "sliding_attention"  # values of `layer_types`

ACTIVATIONS: dict[str, Activation] = {
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu": "gelu",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
_REQUIRED: Any = object()
_MAX_INT = 2**24
T = TypeVar("T")


class HfConfig:
    """Typed access to a config; null counts as absent. Getters raise BadModelFile naming the key."""

    def __init__(self, values: Mapping[str, Any], where: str = "config.json") -> None:
        self.values = values
        self.where = where

    def get_int(
        self, key: str, minimum: int = 1, maximum: int = _MAX_INT, *, default: Any = _REQUIRED
    ) -> int:
        """The integer `key`, or `default` (which may be None) if it is absent."""
        value = self._get(key, default)
        if value is default:
            return value  # type: ignore[no-any-return]
        if type(value) is not int or not minimum <= value <= maximum:
            raise self.error(key, f"an integer from {minimum} to {maximum}")
        return value

    def get_float(self, key: str, *, default: Any = _REQUIRED) -> float:
        """The finite number `key`, or `default` (which may be None) if it is absent."""
        value = self._get(key, default)
        if value is default:
            return value  # type: ignore[no-any-return]
        if type(value) not in (int, float) or not math.isfinite(value):
            raise self.error(key, "a finite number")
        return float(value)

    def get_positive(self, key: str, *, default: Any = _REQUIRED) -> float:
        """The finite number above 0 `key`, or `default` (which may be None) if it is absent."""
        value = self.get_float(key, default=default)
        if value is not None and value <= 0:
            raise self.error(key, "a number above 0")
        return value

    def get_ints(self, key: str, minimum: int, maximum: int) -> tuple[int, ...]:
        """The list of integers `key`; empty if it is absent."""
        value = self._get(key, [])
        if not isinstance(value, list) or not all(type(x) is int and minimum <= x <= maximum for x in value):
            raise self.error(key, f"a list of integers from {minimum} to {maximum}")
        return tuple(value)

    def get_bool(self, key: str, *, default: bool) -> bool:
        """The bool `key`."""
        value = self._get(key, default)
        if type(value) is not bool:
            raise self.error(key, "true or false")
        return value

    def get_floats(self, key: str) -> tuple[float, ...]:
        """The list of finite numbers `key`."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, list) or not all(
            type(x) in (int, float) and math.isfinite(x) for x in value
        ):
            raise self.error(key, "a list of numbers")
        return tuple(float(x) for x in value)

    def choose(self, key: str, allowed: Mapping[str, T], default: str) -> T:
        """The value of `allowed` for the string `key`."""
        value = self._get(key, default)
        if not isinstance(value, str) or value not in allowed:
            raise BadModelFile(f"{self.where}: {choices(f'`{key}`', value, allowed)}")
        return allowed[value]

    def require(self, key: str, supported: Any) -> None:
        """Raise BadModelFile unless an option that changes the computation is absent or `supported`."""
        if (value := self.values.get(key)) is not None and value != supported:
            raise BadModelFile(f"{self.where}: `{key}` is {value!r}; this family supports only {supported!r}")

    def section(self, key: str) -> dict[str, Any]:
        """The object `key`, or an empty one if it is absent."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return value

    def get_strings(self, key: str, allowed: tuple[str, ...], n: int) -> tuple[str, ...] | None:
        """The list `key` of `n` strings among `allowed`, or None if it is absent."""
        value = self._get(key, None)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) != n or not all(x in allowed for x in value):
            raise self.error(key, f"a list of {n}, each {' or '.join(allowed)}")
        return tuple(value)

    def error(self, key: str, expected: str) -> BadModelFile:
        """The error for `key`."""
        value = self.values.get(key)
        problem = "is missing" if value is None else f"is {str(value)[:60]!r}"
        return BadModelFile(f"{self.where}: `{key}` {problem}; it must be {expected}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        if value is not None:
            return value
        if default is _REQUIRED:
            raise self.error(key, "present")
        return default


def activation_to_hf(activation: Activation) -> str:
    """Transformers' name of an activation."""
    return next(hf_name for hf_name, name in ACTIVATIONS.items() if name == activation)


def rope_from_hf(config: HfConfig, d_head: int, base: float = 10000.0, rotary_factor: float = 1.0) -> Rope:
    """The RoPE of a config. base, rotary_factor: the family's defaults for absent keys."""
    top_level = {key: config.values.get(key) for key in ("rope_theta", "partial_rotary_factor")}
    nested, added = config.section("rope_parameters"), config.section("rope_scaling")
    if added:  # as model cards ask for longer texts; it replaces the scaling, but the base stays
        nested = {key: nested[key] for key in top_level if key in nested} | added
    values = {key: value for key, value in top_level.items() if value is not None} | nested
    rope = HfConfig(values, f"{config.where}, rope")
    rotary_factor = rope.get_float("partial_rotary_factor", default=rotary_factor)
    if rope.values.get("rope_type") == "proportional":
        rope.require("factor", 1.0)
        if not 0 < rotary_factor <= 1:
            raise rope.error("partial_rotary_factor", "a number above 0, at most 1")
        base = rope.get_float("rope_theta", default=base)
        return Rope(base, d_head, scaling=ProportionalScaling(rotary_factor))
    n_rotated = int(d_head * rotary_factor)
    if not 0 <= n_rotated <= d_head or n_rotated % 2 or (n_rotated == 0) != (d_head < 2):
        raise rope.error(
            "partial_rotary_factor", f"such that it makes an even number of the {d_head} columns of a head"
        )
    scaling = _scaling_from_hf(rope, config)
    if isinstance(scaling, LongRopeScaling):
        for key, factors in (("short_factor", scaling.short_factors), ("long_factor", scaling.long_factors)):
            if len(factors) != n_rotated // 2 or min(factors) <= 0:
                raise rope.error(key, f"a list of {n_rotated // 2} numbers above 0, one per rotated pair")
    return Rope(rope.get_float("rope_theta", default=base), n_rotated, scaling=scaling)


def layer_ropes_from_hf(
    config: HfConfig, d_heads: Mapping[str, int], bases: Mapping[str, float]
) -> dict[str, Rope]:
    """The RoPE of each type of layer: FULL, whose scaling may be `rope_scaling`, and SLIDING.

    d_heads: width of a head of each type. bases: the family's default base of each. transformers 5 has one
    object for each type in `rope_parameters`; earlier configs have `rope_theta` and `rope_local_base_freq`.
    """
    nested, flat = config.section("rope_parameters"), dict(config.values)
    if nested and not nested.keys() & bases.keys():
        raise config.error("rope_parameters", f"an object with {' and '.join(bases)}")
    ropes = {}
    for kind, base in bases.items():
        parameters = HfConfig(nested, f"{config.where}, rope_parameters").section(kind)
        values = flat | {"rope_parameters": parameters}
        if kind == SLIDING:
            values |= {"rope_scaling": None, "rope_theta": config.values.get("rope_local_base_freq")}
        ropes[kind] = rope_from_hf(HfConfig(values, config.where), d_heads[kind], base)
    return ropes


def _scaling_from_hf(rope: HfConfig, config: HfConfig) -> RopeScaling | None:
    n_ctx = config.get_int("max_position_embeddings", default=2048)
    top_original = config.get_int("original_max_position_embeddings", default=n_ctx)
    n_original = rope.get_int("original_max_position_embeddings", default=top_original)
    kinds = dict.fromkeys(("default", "none", "linear", "dynamic", "llama3", "yarn", "longrope"))
    kinds |= {"su": None}  # LongRoPE's first name
    kind = rope.values.get("rope_type") or rope.values.get("type") or "default"
    rope.choose("rope_type" if "rope_type" in rope.values else "type", kinds, "default")
    match kind:
        case "linear":
            return LinearScaling(rope.get_float("factor"))
        case "dynamic":
            return DynamicNtkScaling(rope.get_float("factor"), n_ctx)
        case "llama3":
            low, high = rope.get_float("low_freq_factor"), rope.get_float("high_freq_factor")
            return Llama3Scaling(rope.get_float("factor"), low, high, n_original)
        case "yarn":
            return YarnScaling(
                rope.get_float("factor", default=n_ctx / n_original),
                n_original,
                beta_fast=rope.get_float("beta_fast", default=32.0),
                beta_slow=rope.get_float("beta_slow", default=1.0),
                attention_factor=_yarn_attention(rope),
                has_whole_pairs=rope.get_bool("truncate", default=True),
            )
        case "longrope" | "su":
            default = _long_attention(rope.get_float("factor", default=n_ctx / n_original), n_original)
            short, long = rope.get_floats("short_factor"), rope.get_floats("long_factor")
            factor = rope.get_float("attention_factor", default=default)
            return LongRopeScaling(short, long, n_original, factor)
    return None


def _yarn_attention(rope: HfConfig) -> float | None:
    factor = rope.get_float("attention_factor", default=None)
    mscale, mscale_all = (
        rope.get_float("mscale", default=None),
        rope.get_float("mscale_all_dim", default=None),
    )
    if factor is not None or not (mscale and mscale_all):
        return factor
    log = math.log(max(rope.get_float("factor"), 1.0))
    return (0.1 * mscale * log + 1.0) / (0.1 * mscale_all * log + 1.0)


def _long_attention(factor: float, n_original: int) -> float:
    return math.sqrt(1 + math.log(factor) / math.log(n_original)) if factor > 1 < n_original else 1.0


def rope_to_hf(rope: Rope, d_head: int, n_ctx: int) -> dict[str, Any]:
    """The config keys of a RoPE. Raises BadInput for individual frequency factors."""
    if rope.frequency_factors:
        raise BadInput("config.json cannot express position.frequency_factors; set position.scaling instead")
    config: dict[str, Any] = {"rope_theta": rope.base}
    if rope.n_rotated != d_head:
        factor = rope.n_rotated / d_head
        # Readers truncate d_head * factor to an integer; round up if that would lose one.
        is_exact = int(d_head * factor) == rope.n_rotated
        config["partial_rotary_factor"] = factor if is_exact else math.nextafter(factor, 1)
    match rope.scaling:
        case LinearScaling(factor):
            config["rope_scaling"] = {"rope_type": "linear", "type": "linear", "factor": factor}
        case DynamicNtkScaling(factor):
            config["rope_scaling"] = {"rope_type": "dynamic", "type": "dynamic", "factor": factor}
        case Llama3Scaling(factor, low, high, n_original):
            config["rope_scaling"] = {
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low,
                "high_freq_factor": high,
                "original_max_position_embeddings": n_original,
            }
        case YarnScaling(factor, n_original, fast, slow, attention, has_whole_pairs):
            config["rope_scaling"] = {
                "rope_type": "yarn",
                "factor": factor,
                "original_max_position_embeddings": n_original,
                "beta_fast": fast,
                "beta_slow": slow,
            } | ({} if attention is None else {"attention_factor": attention})
            if not has_whole_pairs:
                config["rope_scaling"]["truncate"] = False
        case LongRopeScaling(short, long, n_original, attention):
            config["original_max_position_embeddings"] = n_original
            config["rope_scaling"] = {
                "type": "longrope",
                "short_factor": list(short),
                "long_factor": list(long),
            }
            if not math.isclose(attention, _long_attention(n_ctx / n_original, n_original)):
                config["rope_scaling"]["attention_factor"] = attention
    return config
