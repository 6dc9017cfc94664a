"""The parameters of a blueprint: every tensor by name, with its shape in torch order ([out, in])."""

from __future__ import annotations

from zeropoint.blueprint.spec import Blueprint

__all__ = ["parameters"]


def parameters(blueprint: Blueprint) -> dict[str, tuple[int, ...]]:
    """Name to shape, in the order of the forward pass."""
    d = blueprint.d_model
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (blueprint.n_vocab, d)}
    for i, block in enumerate(blueprint.blocks):
        a = block.attention
        at = f"blocks.{i}"
        shapes |= {
            f"{at}.attention_norm.weight": (d,),
            f"{at}.attention.query.weight": (a.n_heads * a.d_head, d),
            f"{at}.attention.key.weight": (a.n_kv_heads * a.d_head, d),
            f"{at}.attention.value.weight": (a.n_kv_heads * a.d_head, d),
            f"{at}.attention.output.weight": (d, a.n_heads * a.d_head),
            f"{at}.ffn_norm.weight": (d,),
            f"{at}.ffn.gate.weight": (block.ffn.d_ff, d),
            f"{at}.ffn.up.weight": (block.ffn.d_ff, d),
            f"{at}.ffn.down.weight": (d, block.ffn.d_ff),
        }
    shapes["final_norm.weight"] = (d,)
    if not blueprint.has_tied_head:
        shapes["head.weight"] = (blueprint.n_vocab, d)
    return shapes
