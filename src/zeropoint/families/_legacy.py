"""GGUF files of legacy layouts: query, key and value in one tensor, or one tensor per expert.

llama.cpp's converter first wrote phi-2 with `attn_qkv` (its loader reads both), and before April 2024 wrote
Mixtral with one tensor per expert, `blk.0.ffn_gate.3.weight`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from zeropoint.blueprint.sources import Rename, Rows, Stacked, TensorSource

__all__ = ["resolve_legacy"]

_FUSED = {"attn_q": "query", "attn_k": "key", "attn_v": "value"}  # in the order of their rows
_STACKS = ("ffn_gate", "ffn_up", "ffn_down")


def resolve_legacy(
    sources: Mapping[str, TensorSource], shapes: Mapping[str, tuple[int, ...]], stored: Container[str]
) -> dict[str, TensorSource]:
    """`sources`, with tensors that are not `stored` under their name read from a legacy layout.

    shapes: of our tensors, from `blueprint.tensors.parameters`.
    """
    return {
        ours: _legacy_source(ours, source.name, shapes, stored)
        if isinstance(source, Rename) and source.name not in stored
        else source
        for ours, source in sources.items()
    }


def _legacy_source(
    ours: str, name: str, shapes: Mapping[str, tuple[int, ...]], stored: Container[str]
) -> TensorSource:
    """The source of a tensor that the file does not store as `name`."""
    at, _, kind = name.rpartition(".")  # "blk.0.attn_q", "weight"
    block, _, module = at.rpartition(".")
    if module in _FUSED and f"{block}.attn_qkv.{kind}" in stored:
        attention = ours.rsplit(".", 2)[0]
        rows = {part: shapes[f"{attention}.{part}.{kind}"][0] for part in _FUSED.values()}
        before = list(_FUSED).index(module)
        begin = sum(list(rows.values())[:before])
        return Rows(Rename(f"{block}.attn_qkv.{kind}"), begin, begin + rows[_FUSED[module]])
    single = module.removesuffix("_exps")
    if single in _STACKS and single != module and f"{block}.{single}.0.{kind}" in stored:
        return Stacked(tuple(Rename(f"{block}.{single}.{e}.{kind}") for e in range(shapes[ours][0])))
    return Rename(name)
