"""Read and write blueprints as TOML; reading what was written gives an equal blueprint.

    version = 1
    family = "gpt2"
    ...
    [[blocks]]
    count = 12                      # a run of equal blocks
    attention = { n_heads = 12, n_kv_heads = 12, d_head = 64, bias = "all" }
    ffn = { kind = "mlp", d_ff = 3072, activation = "gelu_tanh" }

`toml_codec` writes each part as a table, without fields at their default. A repeated pattern of blocks is
written once, with `repeat = { blocks = 13 }` at the top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from zeropoint.blueprint.spec import VERSION, Block, Blueprint
from zeropoint.blueprint.toml_codec import decode, describe, encode, needs_kind, non_defaults
from zeropoint.errors import BadInput, choices
from zeropoint.files.toml_text import parse_toml

__all__ = ["from_table", "from_toml", "to_toml"]

_MAX_BLOCKS = 4096
_STACKS = ("blocks", "encoder")


def to_toml(blueprint: Blueprint) -> str:
    """The TOML text of a blueprint, which `from_toml` reads back."""
    lines, runs, repeats = [f"version = {VERSION}"], [], []
    for name, value in non_defaults(blueprint):
        if _is_stack(value):
            pattern = _pattern(value)
            runs += _runs(name, pattern)
            if len(pattern) < len(value):
                repeats.append(f"{name} = {len(value) // len(pattern)}")
        else:
            lines.append(f"{name} = {encode(value, needs_kind(Blueprint, name))}")
    if repeats:
        lines.append(f"repeat = {{ {', '.join(repeats)} }}")
    return "\n".join(lines + runs) + "\n"


def from_toml(text: str | bytes, origin: str = "blueprint") -> Blueprint:
    """Parse the TOML text of a blueprint. origin: its name in errors.

    Raises BadInput for invalid TOML, a newer version, unknown or missing keys and values of the wrong type.
    `check` validates the values.
    """
    return from_table(parse_toml(text, origin), origin)


def from_table(table: Mapping[str, Any], origin: str = "blueprint") -> Blueprint:
    """The blueprint of a parsed TOML table. Raises BadInput as `from_toml`."""
    table = dict(table)
    version = table.pop("version", None)
    if type(version) is not int or version < 1:
        raise BadInput(f"{origin}: `version` is {describe(version)}; expected an integer from 1 to {VERSION}")
    if version > VERSION:
        raise BadInput(
            f"{origin}: `version` is {version}, but this zeropoint reads up to {VERSION}; install a newer one"
        )
    repeats = table.pop("repeat", {})
    stacks = {name: _blocks(table.pop(name), origin, name) for name in _STACKS if name in table}
    blueprint: Blueprint = decode(Blueprint, table, origin, ready=stacks)
    return _repeated(blueprint, repeats, origin)


def _is_stack(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Block)


def _pattern(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The shortest pattern that repeats to `blocks`; all blocks if they are equal (`count` covers that)."""
    n = len(blocks)
    lengths = (k for k in range(1, n + 1) if n % k == 0 and blocks == blocks[:k] * (n // k))
    length = next(lengths)
    return blocks if length == 1 else blocks[:length]


def _repeated(blueprint: Blueprint, repeats: Any, origin: str) -> Blueprint:
    if not isinstance(repeats, Mapping):
        raise BadInput(f"{origin}: `repeat` is {describe(repeats)}; expected a table, like {{ blocks = 13 }}")
    stacks = {"blocks": blueprint.blocks, "encoder": blueprint.encoder}
    for name, times in repeats.items():
        if name not in stacks:
            raise BadInput(
                f"{origin}: {choices('key', f'repeat.{name}', [f'repeat.{key}' for key in stacks])}"
            )
        if type(times) is not int or times < 1 or times * len(stacks[name]) > _MAX_BLOCKS:
            raise BadInput(
                f"{origin}: `repeat.{name}` is {describe(times)}; expected 1 to {_MAX_BLOCKS} blocks in all"
            )
        stacks[name] *= times
    return replace(blueprint, blocks=stacks["blocks"], encoder=stacks["encoder"])


def _runs(stack: str, blocks: tuple[Block, ...]) -> list[str]:
    lines = []
    for block, run in groupby(blocks):
        lines += ["", f"[[{stack}]]"]
        if (count := len(list(run))) > 1:
            lines.append(f"count = {count}")
        lines += [f"{name} = {encode(value, needs_kind(Block, name))}" for name, value in non_defaults(block)]
    return lines


def _blocks(values: Any, origin: str, path: str) -> tuple[Block, ...]:
    """A stack of blocks from its tables, each repeated `count` times."""
    if not isinstance(values, list):
        raise BadInput(f"{origin}: `{path}` is {describe(values)}; expected tables [[{path}]]")
    blocks: list[Block] = []
    for i, table in enumerate(values):
        if not isinstance(table, Mapping):
            raise BadInput(f"{origin}: `{path}[{i}]` is {describe(table)}; expected a table [[{path}]]")
        rest = dict(table)
        count = rest.pop("count", 1)
        if type(count) is not int or not 1 <= count <= _MAX_BLOCKS - len(blocks):
            raise BadInput(
                f"{origin}: `{path}[{i}].count` is {describe(count)}; expected 1 to {_MAX_BLOCKS} in all"
            )
        blocks += [decode(Block, rest, origin, f"{path}[{i}].")] * count
    return tuple(blocks)
