"""The name and shape of every parameter of a blueprint; matrices are [out, in], as in torch."""

from __future__ import annotations

from collections.abc import Iterator

from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import FFN, MLP, ChannelMix, Gated
from zeropoint.blueprint.parts.norm import LayerNorm, Norm, RMSNorm
from zeropoint.blueprint.parts.position import Learned, RelativeBias
from zeropoint.blueprint.spec import Block, Blueprint

__all__ = ["block_parameters", "parameters"]

Named = Iterator[tuple[str, tuple[int, ...]]]


def parameters(blueprint: Blueprint) -> dict[str, tuple[int, ...]]:
    """{name: shape} of all parameters, in the order of the forward pass."""
    return dict(_all(blueprint))


def block_parameters(block: Block, d_model: int) -> dict[str, tuple[int, ...]]:
    """{name: shape} of one block, with names relative to it."""
    return dict(_block(block, d_model))


def _all(b: Blueprint) -> Named:
    yield "embedding.weight", (b.n_vocab, b.d_model)
    if isinstance(b.embedding.position, Learned):
        yield "embedding.position.weight", (b.embedding.position.n_positions, b.d_model)
    if b.embedding.n_types:
        yield "embedding.segment.weight", (b.embedding.n_types, b.d_model)
    yield from _norm("embedding.norm", b.embedding.norm, b.d_model)
    if b.per_layer is not None:
        width = b.per_layer.width
        yield "embedding.per_layer.weight", (b.n_vocab, b.n_layers * width)
        yield "embedding.per_layer_projection.weight", (b.n_layers * width, b.d_model)
        yield from _norm("embedding.per_layer_norm", b.blocks[0].norm, width)
    yield from _stack("encoder", b.encoder, b.d_model)
    yield from _norm("encoder_norm", b.encoder_norm, b.d_model)
    yield from _stack("blocks", b.blocks, b.d_model)
    yield from _norm("final_norm", b.final_norm, b.d_model)
    yield from _mtp(b)
    if b.head is None:
        return
    if b.head.has_transform:
        yield from _linear("head.transform", b.d_model, b.d_model, True)
        yield from _norm("head.norm", b.blocks[0].norm, b.d_model)
    if not b.head.is_tied:
        yield "head.weight", (b.n_vocab, b.d_model)
    if b.head.has_bias:
        yield "head.bias", (b.n_vocab,)


def _mtp(b: Blueprint) -> Named:
    if b.mtp is None:
        return
    yield from _norm("mtp.embedding_norm", b.mtp.norm, b.d_model)
    yield from _norm("mtp.hidden_norm", b.mtp.norm, b.d_model)
    yield "mtp.projection.weight", (b.d_model, 2 * b.d_model)
    yield from ((f"mtp.block.{part}", shape) for part, shape in _block(b.mtp, b.d_model))
    yield from _norm("mtp.norm", b.mtp.norm, b.d_model)


def _stack(name: str, blocks: tuple[Block, ...], d_model: int) -> Named:
    for i, block in enumerate(blocks):
        yield from ((f"{name}.{i}.{part}", shape) for part, shape in _block(block, d_model))
    attention = blocks[0].attention if blocks else None
    if attention is not None and isinstance(position := attention.position, RelativeBias):
        yield f"{name}.relative_bias.weight", (position.n_buckets, attention.n_heads)


def _block(block: Block, d: int) -> Named:
    if block.placement != "output":
        yield from _norm(f"{block.mixer}_norm", block.norm, d)
    if block.attention is not None:
        yield from _attention("attention", block.attention, d)
    if block.recurrence is not None:
        yield from ((f"recurrence.{name}", shape) for name, shape in block.recurrence.parameters(d))
    if block.placement in ("sandwich", "output"):
        yield from _norm(f"{block.mixer}_output_norm", block.norm, d)
    if block.cross_attention is not None:
        yield from _norm("cross_attention_norm", block.norm, d)
        yield from _attention("cross_attention", block.cross_attention, d)
    if block.placement not in ("parallel", "output") and block.ffn is not None:
        yield from _norm("ffn_norm", block.norm, d)
    yield from _ffn("ffn", block.ffn, d)
    if block.placement in ("sandwich", "output") and block.ffn is not None:
        yield from _norm("ffn_output_norm", block.norm, d)
    if block.per_layer is not None:
        yield from _linear("per_layer.gate", block.per_layer.width, d, False)
        yield from _linear("per_layer.projection", d, block.per_layer.width, False)
        yield from _norm("per_layer_norm", block.norm, d)
    if block.has_output_scale:
        yield "output_scale.weight", (1,)


def _attention(name: str, a: Attention, d: int) -> Named:
    has_bias = a.bias in ("qkv", "all")
    yield from _linear(f"{name}.query", a.d_query, d, has_bias)
    if a.has_keys:
        yield from _linear(f"{name}.key", a.d_kv, d, has_bias)
        yield from _linear(f"{name}.value", a.d_kv, d, has_bias)
    yield from _norm(f"{name}.query_norm", a.query_key_norm, a.query_norm_width)
    if a.has_keys:
        yield from _norm(f"{name}.key_norm", a.query_key_norm, a.key_norm_width)
        yield from _norm(f"{name}.value_norm", a.value_norm, a.d_head)
    if a.has_output_gate:
        yield from _linear(f"{name}.gate", a.d_query, d, has_bias)
    if a.has_sink:
        yield f"{name}.sink.weight", (a.n_heads,)
    yield from _linear(f"{name}.output", d, a.d_query, a.bias in ("output", "all"))


def _ffn(name: str, ffn: FFN | None, d: int) -> Named:
    match ffn:
        case None:
            return
        case MLP(d_ff, _, has_bias):
            yield from _linear(f"{name}.up", d_ff, d, has_bias)
            yield from _linear(f"{name}.down", d, d_ff, has_bias)
        case Gated(d_ff, _, has_bias):
            yield from _linear(f"{name}.gate", d_ff, d, has_bias)
            yield from _linear(f"{name}.up", d_ff, d, has_bias)
            yield from _linear(f"{name}.down", d, d_ff, has_bias)
        case ChannelMix(d_ff):
            yield f"{name}.shift", (d,)
            yield from _linear(f"{name}.up", d_ff, d, False)
            yield from _linear(f"{name}.down", d, d_ff, False)
        case _:
            # The experts are stacked along the first axis, as GGUF and fused checkpoints store them.
            n, d_ff = ffn.n_experts, ffn.expert.d_ff
            yield from _linear(f"{name}.router", n, d, ffn.has_router_bias)
            for part, n_out, n_in in (("gate", d_ff, d), ("up", d_ff, d), ("down", d, d_ff)):
                yield f"{name}.experts.{part}.weight", (n, n_out, n_in)
                if ffn.expert.has_bias:
                    yield f"{name}.experts.{part}.bias", (n, n_out)
            yield from _ffn(f"{name}.shared", ffn.shared, d)


def _linear(name: str, n_out: int, n_in: int, has_bias: bool) -> Named:
    yield f"{name}.weight", (n_out, n_in)
    if has_bias:
        yield f"{name}.bias", (n_out,)


def _norm(name: str, norm: Norm | None, width: int) -> Named:
    if norm is None or (isinstance(norm, RMSNorm) and not norm.has_gain):
        return
    yield f"{name}.weight", (width,)
    if isinstance(norm, LayerNorm) and norm.has_bias:
        yield f"{name}.bias", (width,)
