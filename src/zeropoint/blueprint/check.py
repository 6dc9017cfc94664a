"""Validate a blueprint: report all problems at once, each with field, value and remedy.

Rules across parts are here, those within one part in `rules.py`.
"""

from __future__ import annotations

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import Activation, ChannelMix
from zeropoint.blueprint.parts.norm import Norm
from zeropoint.blueprint.parts.position import Learned, NoPosition, RelativeBias, Sinusoidal
from zeropoint.blueprint.parts.recurrence import Rwkv7
from zeropoint.blueprint.rules import (
    Problems,
    attention_rules,
    ffn_rules,
    in_range,
    norm_rules,
    one_of,
    positive,
)
from zeropoint.blueprint.spec import Block, Blueprint, Placement
from zeropoint.errors import BadInput

__all__ = ["check", "problems"]

_MAX_LISTED = 3  # problems in one message: a wrong norm is a problem of every block


def check(blueprint: Blueprint, name: str = "blueprint") -> None:
    """Raise BadInput listing the problems of a blueprint, the first few of them in full, if there is any."""
    found = list(problems(blueprint))
    if len(found) > _MAX_LISTED:
        found[_MAX_LISTED:] = [f"and {len(found) - _MAX_LISTED} more"]
    if found:
        raise BadInput(f"{name}: " + "; ".join(found))


def problems(blueprint: Blueprint) -> Problems:
    """Each problem as a sentence without a full stop."""
    b = blueprint
    if not b.family:
        yield "family is empty; name the published family, such as 'llama'"
    for field in ("d_model", "n_vocab", "n_ctx", "n_layers"):
        yield from in_range(field, getattr(b, field))
    if b.n_vocab == 1:
        yield "n_vocab is 1; a vocabulary has at least 2 tokens"
    yield from _embedding_rules(b)
    yield from _stack_rules("encoder", b.encoder, False, b.d_model)
    yield from _norm_after("encoder_norm", b.encoder_norm, "encoder", b.encoder)
    is_causal = bool(b.encoder) or any(
        block.attention is None or block.attention.is_causal for block in b.blocks
    )
    yield from _stack_rules("blocks", b.blocks, is_causal, b.d_model)
    yield from _sharing_rules(b)
    yield from _per_layer_rules(b)
    yield from _norm_after("final_norm", b.final_norm, "blocks", b.blocks)
    yield from _crossing_rules(b)
    if b.mtp is not None:
        yield from _block_rules("mtp", b.mtp, True, b.d_model)
        if not b.is_decoder:
            yield "mtp is set in a model that is no decoder; remove it"
    if b.head is not None:
        yield from positive("head.scale", b.head.scale)
        yield from positive("head.softcap", b.head.softcap)


def _embedding_rules(b: Blueprint) -> Problems:
    yield from positive("embedding.scale", b.embedding.scale)
    if not 0 <= b.embedding.n_types <= 65536:
        yield f"embedding.n_types is {b.embedding.n_types}; expected 0 (none) to 65536"
    yield from norm_rules("embedding.norm", b.embedding.norm)
    position = b.embedding.position
    if isinstance(position, Learned | Sinusoidal):
        yield from in_range("embedding.position.n_positions", position.n_positions)
        if (n := position.n_positions) < b.n_ctx:
            yield f"embedding.position.n_positions is {n}; expected n_ctx, {b.n_ctx}, or more"
    if isinstance(position, Sinusoidal) and b.d_model % 2:
        yield f"d_model is {b.d_model}; expected an even number, since sinusoidal positions use pairs"


def _stack_rules(name: str, blocks: tuple[Block, ...], is_causal: bool, d_model: int) -> Problems:
    """Check each distinct block once, then the properties that all blocks of a stack share."""
    if len(blocks) > 4096:
        yield f"{name} has {len(blocks)} blocks; expected at most 4096"
    seen: set[Block] = set()
    for i, block in enumerate(blocks):
        if block not in seen:
            seen.add(block)
            yield from _block_rules(f"{name}[{i}]", block, is_causal, d_model)
    yield from _first_value_rules(name, blocks)
    for i, block in enumerate(blocks[1:], start=1):
        if _bias_of(block.attention) != _bias_of(blocks[0].attention):
            yield (
                f"{name}[{i}].attention differs from {name}[0] in relative bias or heads; make them equal, "
                "since all layers share one table"
            )
            return


def _first_value_rules(name: str, blocks: tuple[Block, ...]) -> Problems:
    """The first Rwkv7 block gives its values to the others, so it has none to mix in."""
    ranks = [(i, b.recurrence.value_rank) for i, b in enumerate(blocks) if isinstance(b.recurrence, Rwkv7)]
    if ranks and ranks[0][1]:
        i, rank = ranks[0]
        yield f"{name}[{i}].recurrence.value_rank is {rank}; expected 0 in the first block with Rwkv7"


def _bias_of(attention: Attention | None) -> tuple[RelativeBias, int] | None:
    if attention is None or not isinstance(attention.position, RelativeBias):
        return None
    return attention.position, attention.n_heads


def _block_rules(name: str, block: Block, is_causal: bool, d_model: int) -> Problems:
    if (block.attention is None) == (block.recurrence is None):
        n_set = 0 if block.attention is None else 2
        yield f"{name} sets {n_set} of attention and recurrence; set one of them"
    if block.attention is not None:
        yield from attention_rules(f"{name}.attention", block.attention)
    if block.recurrence is not None:
        yield from block.recurrence.problems(f"{name}.recurrence", d_model)
    yield from ffn_rules(f"{name}.ffn", block.ffn)
    if isinstance(block.ffn, ChannelMix) and (block.recurrence is None or block.placement == "parallel"):
        yield f"{name}.ffn is ChannelMix; it needs a recurrence, and another placement than parallel"
    yield from norm_rules(f"{name}.norm", block.norm)
    yield from one_of(f"{name}.placement", block.placement, Placement)
    yield from positive(f"{name}.residual_scale", block.residual_scale)
    if block.attention is not None and block.attention.is_causal != is_causal:
        yield (
            f"{name}.attention.is_causal is {block.attention.is_causal}; expected {is_causal}, since encoder "
            "blocks are not causal, decoder blocks are, and all blocks of a stack agree"
        )
    if block.cross_attention is None:
        return
    cross = block.cross_attention
    yield from attention_rules(f"{name}.cross_attention", cross)
    if cross.is_causal:
        yield f"{name}.cross_attention.is_causal is True; set it to False, since the full source is known"
    if cross.has_output_gate:
        yield f"{name}.cross_attention.has_output_gate is True; only self-attention has a gate"
    if cross.position != NoPosition():
        yield f"{name}.cross_attention.position is {type(cross.position).__name__}; expected NoPosition"
    if block.placement not in ("pre", "post"):
        yield f"{name}.placement is {block.placement} with cross_attention; expected pre or post"


def _norm_after(name: str, norm: Norm | None, stack: str, blocks: tuple[Block, ...]) -> Problems:
    yield from norm_rules(name, norm)
    if norm is not None and not blocks:
        yield f"{name} is set without {stack}; remove it, or give {stack}"
    last = blocks[-1] if blocks else None
    if norm is None and last is not None and last.norm is not None and last.placement != "post":
        yield (
            f"{name} is None; give a norm, since {last.placement} blocks do not normalize their output, or "
            "use placement post"
        )


def _sharing_rules(b: Blueprint) -> Problems:
    """Keys and values of another block: it must come earlier, have its own, and of the same sizes."""
    for stack in ("blocks", "encoder"):
        blocks: tuple[Block, ...] = getattr(b, stack)
        for i, block in enumerate(blocks):
            a = block.attention
            if a is None or a.source is None:
                continue
            other = blocks[a.source].attention if 0 <= a.source < i else None
            field = f"{stack}[{i}].attention"
            if other is None or not other.has_keys:
                yield f"{field}.source is {a.source}; expected an earlier block with its own keys and values"
            elif (other.n_kv_heads, other.d_head) != (a.n_kv_heads, a.d_head):
                yield (
                    f"{field} has {a.n_kv_heads} key/value heads of width {a.d_head}, and its source, block "
                    f"{a.source}, {other.n_kv_heads} of width {other.d_head}; make them equal"
                )


def _per_layer_rules(b: Blueprint) -> Problems:
    if b.per_layer is not None:
        yield from in_range("blocks[0].per_layer.width", b.per_layer.width)
        yield from one_of("blocks[0].per_layer.activation", b.per_layer.activation, Activation)
        if not b.is_decoder:
            yield "blocks[0].per_layer is set in a model that is no decoder; set it to None"
    for stack in ("blocks", "encoder"):
        for i, block in enumerate(getattr(b, stack)):
            if block.per_layer != b.per_layer and (stack == "blocks" or block.per_layer is not None):
                yield f"{stack}[{i}].per_layer differs from blocks[0]; make them equal"
                return


def _crossing_rules(b: Blueprint) -> Problems:
    for i, block in enumerate(b.encoder):
        if block.cross_attention is not None:
            yield f"encoder[{i}].cross_attention is set; set it to None, since only `blocks` read the encoder"
            break
    n_crossing = sum(block.cross_attention is not None for block in b.blocks)
    if n_crossing and not b.encoder:
        yield f"{n_crossing} blocks have cross_attention without an encoder; give one, or remove it"
    if b.encoder and not n_crossing:
        yield f"encoder has {len(b.encoder)} blocks that no block reads; set cross_attention in `blocks`"
    if b.is_decoder and any(isinstance(a.position, RelativeBias) for a in b.attentions):
        yield "blocks have a RelativeBias in a decoder-only model; expected Rope, Alibi or NoPosition"
