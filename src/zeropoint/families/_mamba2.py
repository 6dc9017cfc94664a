"""The Mamba-2 layer in config.json and GGUF, shared by `mamba2` and `granitehybrid`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.recurrence import Mamba2
from zeropoint.blueprint.sources import LogOfNegative, Reshaped
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._hf import HfConfig
from zeropoint.families._names import Sources

__all__ = [
    "mamba2_from_gguf",
    "mamba2_from_hf",
    "mamba2_names",
    "mamba2_of",
    "mamba2_to_gguf",
    "mamba2_to_hf",
    "reshaped",
]

_MAX_INNER = 2**22


def mamba2_of(blueprint: Blueprint) -> Mamba2:
    """The first recurrence. Raises BadInput if it is not a Mamba-2 layer."""
    for block in blueprint.blocks:
        if isinstance(block.recurrence, Mamba2):
            return block.recurrence
    raise BadInput(f"no block has a Mamba2 recurrence; a file of the family {blueprint.family} needs one")


def mamba2_from_hf(
    c: HfConfig, keys: Mapping[str, str], defaults: Mapping[str, int], d_model: int, norm_eps: float
) -> Mamba2:
    """The layer of a config. Raises BadModelFile.

    keys: the config's names of the fields of `Mamba2`, and of "expand", for the inner width. defaults:
    of the sizes; without one for "d_head", the heads divide the inner width.
    """
    _require_no_limit(c)
    expand = c.get_int(keys["expand"], 1, 64, default=defaults["expand"])
    n_heads = c.get_int(keys["n_heads"], 1, 65536, default=defaults["n_heads"])
    d_inner = expand * d_model
    width = c.values.get(keys["d_head"])
    d_head = max(d_inner // n_heads, 1) if width in (None, "auto") else c.get_int(keys["d_head"], 1, 4096)
    if width is None:
        d_head = defaults.get("d_head", d_head)
    if n_heads * d_head != d_inner:
        what = f"`{keys['expand']}` * `hidden_size` / `{keys['d_head']}`, {d_inner / d_head:g}"
        raise c.error(keys["n_heads"], what)
    n_groups = c.get_int(keys["n_groups"], 1, n_heads, default=defaults["n_groups"])
    if n_heads % n_groups:
        raise c.error(keys["n_groups"], f"a divisor of `{keys['n_heads']}`, {n_heads}")
    return Mamba2(
        n_heads=n_heads,
        d_head=d_head,
        d_state=c.get_int(keys["d_state"], 1, 4096, default=defaults["d_state"]),
        n_groups=n_groups,
        d_kernel=c.get_int(keys["d_kernel"], 2, 64, default=4),
        norm_eps=norm_eps,
        has_convolution_bias=c.get_bool(keys["has_convolution_bias"], default=True),
        has_bias=c.get_bool(keys["has_bias"], default=False),
    )


def mamba2_to_hf(spec: Mamba2, keys: Mapping[str, str], d_model: int) -> dict[str, Any]:
    """The keys that `mamba2_from_hf` reads. Raises BadInput for an inner width that no `expand` gives."""
    if spec.d_inner % d_model:
        raise BadInput(
            f"the heads of Mamba2 have {spec.d_inner} columns together, and config.json needs a multiple of "
            f"d_model, {d_model}; convert to GGUF"
        )
    fields = {part: getattr(spec, part) for part in keys if part != "expand"}
    return {keys[part]: value for part, value in (fields | {"expand": spec.d_inner // d_model}).items()}


def mamba2_from_gguf(model: GgufMetadata, arch: str, norm_eps: float) -> Mamba2:
    """The layer in a file's metadata. Raises BadModelFile naming the key at fault."""
    key = f"{arch}.ssm"
    d_inner = model.get_int(f"{key}.inner_size", 1, _MAX_INNER)
    n_heads = model.get_int(f"{key}.time_step_rank", 1, 65536)
    n_groups = model.get_int(f"{key}.group_count", 1, 65536)
    for name, value, whole_name, whole in (
        ("time_step_rank", n_heads, "inner_size", d_inner),
        ("group_count", n_groups, "time_step_rank", n_heads),
    ):
        if whole % value:
            what = f"`{key}.{whole_name}`, {whole}"
            raise BadModelFile(f"{model.name}: metadata `{key}.{name}` is {value}; it must divide {what}")
    return Mamba2(
        n_heads=n_heads,
        d_head=d_inner // n_heads,
        d_state=model.get_int(f"{key}.state_size", 1, 4096),
        n_groups=n_groups,
        d_kernel=model.get_int(f"{key}.conv_kernel", 2, 64),
        norm_eps=norm_eps,
        has_convolution_bias=any(name.endswith(".ssm_conv1d.bias") for name in model.tensors),
        has_bias=any(name.endswith(".ssm_in.bias") for name in model.tensors),
    )


def mamba2_to_gguf(spec: Mamba2, arch: str) -> dict[str, Any]:
    """The keys that `mamba2_from_gguf` reads."""
    return {
        f"{arch}.ssm.conv_kernel": spec.d_kernel,
        f"{arch}.ssm.inner_size": spec.d_inner,
        f"{arch}.ssm.state_size": spec.d_state,
        f"{arch}.ssm.time_step_rank": spec.n_heads,
        f"{arch}.ssm.group_count": spec.n_groups,
    }


def mamba2_names(kind: Kind, hf_module: str) -> dict[str, str]:
    """The table for `rename_tensors`. hf_module: the layer's path, as "backbone.layers.{}.mixer"."""
    ours = "blocks.{}.recurrence"
    if kind == "gguf":
        stored = {
            "input": "ssm_in",
            "convolution": "ssm_conv1d",
            "step_bias": "ssm_dt.bias",
            "decay_log": "ssm_a",
            "skip": "ssm_d",
            "norm": "ssm_norm",
            "output": "ssm_out",
        }
        return {f"{ours}.{part}": f"blk.{{}}.{name}" for part, name in stored.items()}
    stored = {
        "input": "in_proj",
        "convolution": "conv1d",
        "step_bias": "dt_bias",
        "decay_log": "A_log",
        "skip": "D",
        "norm": "norm",
        "output": "out_proj",
    }
    return {f"{ours}.{part}": f"{hf_module}.{name}" for part, name in stored.items()}


def reshaped(sources: Sources, blueprint: Blueprint, kind: Kind) -> Sources:
    """`sources` with the shapes in which a file stores the tensors of Mamba-2; GGUF stores A itself."""
    updated: Sources = {}
    for i, block in enumerate(blueprint.blocks):
        spec, at = block.recurrence, f"blocks.{i}.recurrence"
        if not isinstance(spec, Mamba2):
            continue
        if kind == "hf":
            name, shape = f"{at}.convolution.weight", (spec.d_convolved, spec.d_kernel)
            updated[name] = Reshaped(sources[name], shape, (spec.d_convolved, 1, spec.d_kernel))
            continue
        for part in ("decay_log", "skip"):
            source = Reshaped(sources[f"{at}.{part}"], (spec.n_heads,), (spec.n_heads, 1))
            updated[f"{at}.{part}"] = LogOfNegative(source) if part == "decay_log" else source
        groups = (spec.n_groups, spec.d_inner // spec.n_groups)
        name = f"{at}.norm.weight"
        updated[name] = Reshaped(sources[name], (spec.d_inner,), groups)
    return sources | updated


def _require_no_limit(config: HfConfig) -> None:
    """Raise BadModelFile for a config that clamps the step sizes, which no published model does."""
    value = config.values.get("time_step_limit")
    if value is None:
        return
    low, high = value if isinstance(value, list) and len(value) == 2 else (None, None)
    if low != 0 or (high != float("inf") and high != {"__float__": "Infinity"}):
        raise config.error("time_step_limit", "[0, Infinity], since the steps are not clamped")
