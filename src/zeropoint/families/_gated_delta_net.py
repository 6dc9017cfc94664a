"""The Gated DeltaNet layer in config.json and GGUF."""

from __future__ import annotations

from typing import Any

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.parts.recurrence import GatedDeltaNet
from zeropoint.blueprint.sources import LogOfNegative, Regrouped, Reshaped
from zeropoint.errors import BadInput, BadModelFile
from zeropoint.families import GgufMetadata, Kind
from zeropoint.families._hf import HfConfig
from zeropoint.families._names import Sources

__all__ = [
    "delta_net_from_gguf",
    "delta_net_from_hf",
    "delta_net_names",
    "delta_net_of",
    "delta_net_to_gguf",
    "delta_net_to_hf",
    "rearranged",
]

_MAX_HEADS, _MAX_WIDTH, _MAX_KERNEL = 65536, 4096, 64
_HF = {
    "qkv": "in_proj_qkv",
    "gate": "in_proj_z",
    "alpha": "in_proj_a",
    "alpha.bias": "dt_bias",
    "beta": "in_proj_b",
    "decay_log": "A_log",
    "convolution": "conv1d",
    "norm": "norm",
    "output": "out_proj",
}
_GGUF = {
    "qkv": "attn_qkv",
    "gate": "attn_gate",
    "alpha": "ssm_alpha",
    "alpha.bias": "ssm_dt.bias",
    "beta": "ssm_beta",
    "decay_log": "ssm_a",
    "convolution": "ssm_conv1d",
    "norm": "ssm_norm",
    "output": "ssm_out",
}


def delta_net_of(blueprint: Blueprint) -> GatedDeltaNet:
    """The first recurrence. Raises BadInput if it is not a Gated DeltaNet."""
    for block in blueprint.blocks:
        if isinstance(block.recurrence, GatedDeltaNet):
            return block.recurrence
    raise BadInput(f"no block has a GatedDeltaNet; a file of the family {blueprint.family} needs one")


def delta_net_from_hf(c: HfConfig, norm_eps: float) -> GatedDeltaNet:
    """The layer of a config. Raises BadModelFile naming the key at fault."""
    n_keys = c.get_int("linear_num_key_heads", 1, _MAX_HEADS, default=16)
    n_values = c.get_int("linear_num_value_heads", 1, _MAX_HEADS, default=32)
    if n_values % n_keys:
        raise c.error("linear_num_value_heads", f"a multiple of `linear_num_key_heads`, {n_keys}")
    return GatedDeltaNet(
        n_key_heads=n_keys,
        n_value_heads=n_values,
        d_key=c.get_int("linear_key_head_dim", 1, _MAX_WIDTH, default=128),
        d_value=c.get_int("linear_value_head_dim", 1, _MAX_WIDTH, default=128),
        d_kernel=c.get_int("linear_conv_kernel_dim", 2, _MAX_KERNEL, default=4),
        norm_eps=norm_eps,
    )


def delta_net_to_hf(spec: GatedDeltaNet) -> dict[str, Any]:
    """The keys that `delta_net_from_hf` reads."""
    return {
        "linear_num_key_heads": spec.n_key_heads,
        "linear_num_value_heads": spec.n_value_heads,
        "linear_key_head_dim": spec.d_key,
        "linear_value_head_dim": spec.d_value,
        "linear_conv_kernel_dim": spec.d_kernel,
    }


def delta_net_from_gguf(model: GgufMetadata, arch: str, norm_eps: float) -> GatedDeltaNet:
    """The layer in a file's metadata. Raises BadModelFile naming the key at fault."""
    key = f"{arch}.ssm"
    n_keys = model.get_int(f"{key}.group_count", 1, _MAX_HEADS)
    n_values = model.get_int(f"{key}.time_step_rank", 1, _MAX_HEADS)
    d_key = model.get_int(f"{key}.state_size", 1, _MAX_WIDTH)
    d_values = model.get_int(f"{key}.inner_size", 1, _MAX_HEADS * _MAX_WIDTH)
    if n_values % n_keys:
        raise BadModelFile(
            f"{model.name}: metadata `{key}.time_step_rank` is {n_values}; it must be a multiple of "
            f"`{key}.group_count`, {n_keys}"
        )
    if d_values != n_values * d_key:
        raise BadModelFile(
            f"{model.name}: metadata `{key}.inner_size` is {d_values}; it must be `{key}.time_step_rank` "
            f"times `{key}.state_size`, {n_values * d_key}"
        )
    return GatedDeltaNet(
        n_key_heads=n_keys,
        n_value_heads=n_values,
        d_key=d_key,
        d_value=d_key,
        d_kernel=model.get_int(f"{key}.conv_kernel", 2, _MAX_KERNEL),
        norm_eps=norm_eps,
        has_tiled_heads=True,
    )


def delta_net_to_gguf(spec: GatedDeltaNet, arch: str) -> dict[str, Any]:
    """The keys that `delta_net_from_gguf` reads. Raises BadInput if keys and values differ in width."""
    if spec.d_key != spec.d_value:
        raise BadInput(
            f"GGUF of the family {arch} has one width for keys and values, and these have {spec.d_key} and "
            f"{spec.d_value} columns; convert to a folder instead"
        )
    return {
        f"{arch}.ssm.conv_kernel": spec.d_kernel,
        f"{arch}.ssm.inner_size": spec.d_values,
        f"{arch}.ssm.state_size": spec.d_key,
        f"{arch}.ssm.time_step_rank": spec.n_value_heads,
        f"{arch}.ssm.group_count": spec.n_key_heads,
    }


def delta_net_names(kind: Kind, hf_module: str) -> dict[str, str]:
    """The table for `rename_tensors`. hf_module: the layer's path, as "model.layers.{}.linear_attn"."""
    table, module = (_GGUF, "blk.{}") if kind == "gguf" else (_HF, hf_module)
    return {f"blocks.{{}}.recurrence.{part}": f"{module}.{name}" for part, name in table.items()}


def rearranged(sources: Sources, blueprint: Blueprint, kind: Kind) -> Sources:
    """`sources` in the layout of a file: GGUF stores -exp(A_log) and tiled value heads, torch [D, 1, W]."""
    updated: Sources = {}
    for i, block in enumerate(blueprint.blocks):
        spec, at = block.recurrence, f"blocks.{i}.recurrence"
        if not isinstance(spec, GatedDeltaNet):
            continue
        mine = {part: sources[f"{at}.{part}"] for part, _ in spec.parameters(blueprint.d_model)}
        if kind == "gguf":
            mine["decay_log"] = LogOfNegative(mine["decay_log"])
        else:
            shape = (spec.d_channels, spec.d_kernel)
            mine["convolution.weight"] = Reshaped(
                mine["convolution.weight"], shape, (spec.d_channels, 1, spec.d_kernel)
            )
        is_tiled = kind == "gguf"
        if spec.has_tiled_heads != is_tiled and spec.n_value_heads != spec.n_key_heads:
            mine = _reordered(mine, spec, is_tiled)
        updated |= {f"{at}.{part}": source for part, source in mine.items()}
    return sources | updated


def _reordered(mine: Sources, spec: GatedDeltaNet, is_tiled: bool) -> Sources:
    """Value heads in the other order. is_tiled: whether the file has a value head of every key head in turn,
    or those of a key head together.
    """
    grid = (spec.n_key_heads, spec.n_value_heads // spec.n_key_heads)
    n_groups, n_members = reversed(grid) if is_tiled else grid
    values = 2 * spec.d_keys  # the first row of the values among q, k and v
    begins = {"qkv.weight": values, "convolution.weight": values}
    begins |= dict.fromkeys(("gate.weight", "alpha.weight", "alpha.bias", "beta.weight", "decay_log"), 0)
    rows = {part: Regrouped(mine[part], n_groups, n_members, 0, begin) for part, begin in begins.items()}
    return mine | rows | {"output.weight": Regrouped(mine["output.weight"], n_groups, n_members, 1)}
