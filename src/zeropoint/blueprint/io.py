"""A blueprint as TOML, exactly: what is written is read back equal.

    version = 1
    family = "gpt2"
    ...
    [[blocks]]
    count = 12                      # a run of equal blocks is written once
    attention = { n_heads = 12, n_kv_heads = 12, d_head = 64, bias = "all" }
    ffn = { kind = "mlp", d_ff = 3072, activation = "gelu_tanh" }

A part is a table as `tables` has it; a field at its default is left out. Blocks that alternate are written
once, with `repeat = { blocks = 13 }` on top.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from typing import Any

from zeropoint.blueprint.spec import VERSION, Block, Blueprint
from zeropoint.blueprint.toml_codec import decode, describe, encode, has_choice, non_defaults, parse
from zeropoint.errors import BadInput, choices

__all__ = ["from_table", "from_toml", "to_toml"]

_MOST_BLOCKS = 4096
_STACKS = ("blocks", "encoder")


def to_toml(blueprint: Blueprint) -> str:
    """The blueprint's TOML text; `from_toml` gives the same blueprint."""
    lines, runs, repeats = [f"version = {VERSION}"], [], []
    for name, value in non_defaults(blueprint):
        if _is_stack(value):
            pattern = _pattern(value)
            runs += _runs(name, pattern)
            if len(pattern) < len(value):
                repeats.append(f"{name} = {len(value) // len(pattern)}")
        else:
            lines.append(f"{name} = {encode(value, has_choice(Blueprint, name))}")
    if repeats:
        lines.append(f"repeat = {{ {', '.join(repeats)} }}")
    return "\n".join(lines + runs) + "\n"


def from_toml(text: str, origin: str = "blueprint") -> Blueprint:
    """The blueprint that `text` says; `origin` names it in errors.

    Raises BadInput for text that is no TOML, a newer version, an unknown or missing key and a value of
    another type. Whether the values go together is for `check` to say.
    """
    return from_table(parse(text, origin), origin)


def from_table(table: Mapping[str, Any], origin: str = "blueprint") -> Blueprint:
    """The blueprint that a table of TOML says, as `from_toml`. Raises BadInput."""
    table = dict(table)
    version = table.pop("version", None)
    if type(version) is not int or version < 1:
        raise BadInput(f"{origin}: `version` is {describe(version)}; expected an integer, {VERSION} today")
    if version > VERSION:
        raise BadInput(
            f"{origin}: `version` is {version}, and this zeropoint reads up to {VERSION}; install a newer one"
        )
    repeats = table.pop("repeat", {})
    stacks = {name: _blocks(table.pop(name), origin, name) for name in _STACKS if name in table}
    blueprint: Blueprint = decode(Blueprint, table, origin, ready=stacks)
    return _repeated(blueprint, repeats, origin)


def _is_stack(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], Block)


def _pattern(blocks: tuple[Block, ...]) -> tuple[Block, ...]:
    """The blocks whose repetition is `blocks`; all of them where they are one run, which `count` says."""
    n = len(blocks)
    lengths = (k for k in range(1, n + 1) if n % k == 0 and blocks == blocks[:k] * (n // k))
    length = next(lengths)
    return blocks if length == 1 else blocks[:length]


def _repeated(blueprint: Blueprint, repeats: Any, origin: str) -> Blueprint:
    if not isinstance(repeats, Mapping):
        raise BadInput(
            f"{origin}: `repeat` is {describe(repeats)}; expected a table, as in {{ blocks = 13 }}"
        )
    stacks = {"blocks": blueprint.blocks, "encoder": blueprint.encoder}
    for name, times in repeats.items():
        if name not in stacks:
            raise BadInput(
                f"{origin}: {choices('key', f'repeat.{name}', [f'repeat.{key}' for key in stacks])}"
            )
        if type(times) is not int or times < 1 or times * len(stacks[name]) > _MOST_BLOCKS:
            raise BadInput(
                f"{origin}: `repeat.{name}` is {describe(times)}; expected 1 to {_MOST_BLOCKS} blocks in all"
            )
        stacks[name] *= times
    return replace(blueprint, blocks=stacks["blocks"], encoder=stacks["encoder"])


def _runs(stack: str, blocks: tuple[Block, ...]) -> list[str]:
    lines = []
    for block, run in groupby(blocks):
        lines += ["", f"[[{stack}]]"]
        if (count := len(list(run))) > 1:
            lines.append(f"count = {count}")
        lines += [f"{name} = {encode(value, has_choice(Block, name))}" for name, value in non_defaults(block)]
    return lines


def _blocks(values: Any, origin: str, path: str) -> tuple[Block, ...]:
    """A stack from its tables, each counted as often as its `count` says."""
    if not isinstance(values, list):
        raise BadInput(f"{origin}: `{path}` is {describe(values)}; expected tables [[{path}]]")
    blocks: list[Block] = []
    for i, table in enumerate(values):
        if not isinstance(table, Mapping):
            raise BadInput(f"{origin}: `{path}[{i}]` is {describe(table)}; expected a table [[{path}]]")
        rest = dict(table)
        count = rest.pop("count", 1)
        if type(count) is not int or not 1 <= count <= _MOST_BLOCKS - len(blocks):
            raise BadInput(
                f"{origin}: `{path}[{i}].count` is {describe(count)}; expected 1 to {_MOST_BLOCKS} in all"
            )
        blocks += [decode(Block, rest, origin, f"{path}[{i}].")] * count
    return tuple(blocks)
