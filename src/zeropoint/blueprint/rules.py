"""Validation rules within one part of a blueprint; `check.py` has those across parts.

Each function yields problems: sentences without a full stop that name field, value and remedy.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import get_args

from zeropoint.blueprint.parts.attention import Attention, Bias
from zeropoint.blueprint.parts.ffn import FFN, Activation, ChannelMix, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import LayerNorm, Norm
from zeropoint.blueprint.parts.position import (
    AttentionPosition,
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    NtkScaling,
    ProportionalScaling,
    RelativeBias,
    Rope,
    RopeScaling,
    YarnScaling,
)
from zeropoint.errors import choices

__all__ = ["Problems", "attention_rules", "ffn_rules", "in_range", "norm_rules", "one_of", "positive"]

Problems = Iterator[str]

# Above any published model, and low enough to keep products of sizes within 64 bits.
_MAX_SIZES = {
    "d_model": 2**20,
    "n_layers": 4096,
    "n_heads": 65536,
    "d_ff": 2**22,
    "d_head": 4096,
    "n_experts": 2**16,
}
_MAX_OTHER_SIZE = 2**24


def in_range(field: str, value: int) -> Problems:
    """A size must be 1 to a limit above any published model."""
    maximum = _MAX_SIZES.get(field.rpartition(".")[2], _MAX_OTHER_SIZE)
    if not 1 <= value <= maximum:
        yield f"{field} is {value}; expected 1 to {maximum}"


def positive(field: str, value: float | None, minimum: float = 0.0) -> Problems:
    """A number must be finite and above `minimum`; None (a default) passes."""
    if value is not None and not (math.isfinite(value) and value > minimum):
        yield f"{field} is {value}; expected a number above {minimum:g}"


def one_of(field: str, value: str, literal: object) -> Problems:
    """A value must be one of a Literal's."""
    if value not in get_args(literal):
        yield choices(field, value, get_args(literal))


def norm_rules(field: str, norm: Norm | None) -> Problems:
    """eps must be positive."""
    if norm is not None:
        yield from positive(f"{field}.eps", norm.eps)


def ffn_rules(field: str, ffn: FFN | None) -> Problems:
    """Widths, activation and numbers of experts must be valid."""
    if ffn is None:
        return
    inner = ffn.expert if isinstance(ffn, MixtureOfExperts) else ffn
    if isinstance(ffn, MixtureOfExperts):
        yield from in_range(f"{field}.n_experts", ffn.n_experts)
        if not 1 <= ffn.n_active <= ffn.n_experts:
            yield f"{field}.n_active is {ffn.n_active}; expected 1 to n_experts, {ffn.n_experts}"
        yield from ffn_rules(f"{field}.shared", ffn.shared)
        field = f"{field}.expert"
    yield from in_range(f"{field}.d_ff", inner.d_ff)
    if isinstance(inner, ChannelMix):
        return
    yield from one_of(f"{field}.activation", inner.activation, Activation)
    if isinstance(inner, Gated):
        yield from positive(f"{field}.limit", inner.limit)
        if not math.isfinite(inner.up_offset):
            yield f"{field}.up_offset is {inner.up_offset}; expected a finite number"


def attention_rules(field: str, a: Attention) -> Problems:
    """Head counts must divide, a window must not be empty, the position must fit a head."""
    yield from in_range(f"{field}.d_head", a.d_head)
    yield from in_range(f"{field}.n_heads", a.n_heads)
    if a.n_heads >= 1 and (not 1 <= a.n_kv_heads <= a.n_heads or a.n_heads % a.n_kv_heads):
        yield f"{field}.n_kv_heads is {a.n_kv_heads}; expected a divisor of n_heads, {a.n_heads}"
    yield from one_of(f"{field}.bias", a.bias, Bias)
    if a.window is not None:
        yield from in_range(f"{field}.window", a.window)
        if not a.is_causal:
            yield f"{field}.window is {a.window} without is_causal; set is_causal, since a window looks back"
    yield from positive(f"{field}.scale", a.scale)
    yield from positive(f"{field}.softcap", a.softcap)
    yield from norm_rules(f"{field}.query_key_norm", a.query_key_norm)
    yield from norm_rules(f"{field}.value_norm", a.value_norm)
    if a.source is not None and not a.is_causal:
        yield f"{field}.source is {a.source} without is_causal; set it to None"
    if a.query_scale is not None:
        yield from positive(f"{field}.query_scale.beta", a.query_scale.beta)
        yield from in_range(f"{field}.query_scale.n_positions", a.query_scale.n_positions)
    if a.has_joint_query_key_norm and a.query_key_norm is None:
        yield f"{field}.has_joint_query_key_norm is True without query_key_norm; set the norm"
    if a.has_joint_query_key_norm and isinstance(a.query_key_norm, LayerNorm):
        yield f"{field}.query_key_norm is LayerNorm; with has_joint_query_key_norm, expected RMSNorm"
    yield from _position_rules(f"{field}.position", a.position, a)


def _position_rules(field: str, position: AttentionPosition, a: Attention) -> Problems:
    match position:
        case Rope():
            yield from _rope_rules(field, position, a.d_head)
        case RelativeBias(n_buckets, max_distance, is_bidirectional):
            if is_bidirectional == a.is_causal:
                yield f"{field}.is_bidirectional is {is_bidirectional}; expected the opposite of is_causal"
            n_each = n_buckets // 2 if is_bidirectional else n_buckets
            if n_each < 2 or n_buckets % 2:
                yield f"{field}.n_buckets is {n_buckets}; expected an even number, at least 2 per direction"
            elif not n_each // 2 < max_distance <= _MAX_OTHER_SIZE:
                half = n_each // 2
                yield f"{field}.max_distance is {max_distance}; expected above half the buckets, {half}"


def _rope_rules(field: str, rope: Rope, d_head: int) -> Problems:
    yield from positive(f"{field}.base", rope.base, 1.0)
    if not 2 <= rope.n_rotated <= d_head or rope.n_rotated % 2:
        yield f"{field}.n_rotated is {rope.n_rotated}; expected an even number from 2 to d_head, {d_head}"
    yield from _factor_rules(f"{field}.frequency_factors", rope.frequency_factors, rope, may_be_empty=True)
    if rope.scaling is not None:
        yield from _scaling_rules(f"{field}.scaling", rope.scaling, rope)


def _scaling_rules(field: str, scaling: RopeScaling, rope: Rope) -> Problems:
    if isinstance(scaling, ProportionalScaling):
        if not 0 < scaling.share <= 1:
            yield f"{field}.share is {scaling.share}; expected above 0 to 1"
        return
    factor = 1.0 if isinstance(scaling, LongRopeScaling) else scaling.factor
    if not (math.isfinite(factor) and factor >= 1):
        yield f"{field}.factor is {factor}; expected 1 or more"
    if isinstance(scaling, DynamicNtkScaling | Llama3Scaling | YarnScaling | LongRopeScaling):
        yield from in_range(f"{field}.n_original", scaling.n_original)
    match scaling:
        case LinearScaling():
            return
        case NtkScaling() | DynamicNtkScaling():
            if rope.n_rotated < 4:
                yield f"{field} is NTK with n_rotated {rope.n_rotated}; make it 4 or more"
            if rope.frequency_factors:
                yield f"{field} is NTK together with frequency_factors; use one of the two"
        case Llama3Scaling(_, low, high):
            yield from positive(f"{field}.low_frequency_factor", low)
            if not (math.isfinite(high) and high > low):
                yield f"{field}.high_frequency_factor is {high}; expected above low_frequency_factor, {low}"
        case YarnScaling(_, _, fast, slow, attention_factor):
            yield from positive(f"{field}.beta_slow", slow)
            if not (math.isfinite(fast) and fast > slow):
                yield f"{field}.beta_fast is {fast}; expected more than beta_slow, {slow}"
            yield from positive(f"{field}.attention_factor", attention_factor)
        case LongRopeScaling(short, long, _, attention_factor):
            yield from _factor_rules(f"{field}.short_factors", short, rope)
            yield from _factor_rules(f"{field}.long_factors", long, rope)
            yield from positive(f"{field}.attention_factor", attention_factor)


def _factor_rules(field: str, factors: tuple[float, ...], rope: Rope, may_be_empty: bool = False) -> Problems:
    if may_be_empty and not factors:
        return
    if len(factors) != rope.n_rotated // 2:
        yield f"{field} has {len(factors)} items; expected n_rotated / 2, {rope.n_rotated // 2}"
    if not all(math.isfinite(f) and f > 0 for f in factors):
        yield f"{field} has a value that is not a positive number; expected only positive numbers"
