"""Every validation rule: messages name field and value; all problems are reported at once."""

import math
from dataclasses import replace

import pytest

from tests.support.tiny_blueprints import DECODERS
from zeropoint.blueprint import Block, Blueprint, Embedding, Head, catalog
from zeropoint.blueprint.check import check, problems
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.position import (
    Alibi,
    DynamicNtkScaling,
    Learned,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    NtkScaling,
    RelativeBias,
    Rope,
    Sinusoidal,
    YarnScaling,
)
from zeropoint.errors import BadInput

NORM = RMSNorm(1e-5)
ROPE = Rope(10000.0, 8)
ATTENTION = Attention(4, 2, 8, ROPE)
BLOCK = Block(ATTENTION, Gated(64), NORM)
VALID = Blueprint("llama", 32, 100, 64, (BLOCK, BLOCK), NORM)
BIDIRECTIONAL = Attention(4, 4, 8, is_causal=False)
ENCODER = Block(BIDIRECTIONAL, MLP(64, "relu"), NORM)
ENCODER_DECODER = replace(
    VALID, encoder=(ENCODER,), encoder_norm=NORM, blocks=(replace(BLOCK, cross_attention=BIDIRECTIONAL),)
)


def with_attention(**changes):
    return replace(VALID, blocks=(replace(BLOCK, attention=replace(ATTENTION, **changes)),))


def with_rope(**changes):
    return with_attention(position=replace(ROPE, **changes))


def with_block(**changes):
    return replace(VALID, blocks=(replace(BLOCK, **changes),))


def with_cross_attention(**changes):
    return replace(
        ENCODER_DECODER, blocks=(replace(BLOCK, cross_attention=replace(BIDIRECTIONAL, **changes)),)
    )


@pytest.mark.parametrize("blueprint", [VALID, ENCODER_DECODER, with_attention(position=Alibi())])
def test_a_valid_blueprint_has_no_problem(blueprint):
    check(blueprint)


def test_shared_keys_and_values_come_from_an_earlier_block_of_equal_sizes():
    blocks = DECODERS["gemma4"].blocks
    for source, message in (
        (3, r"blocks\[2\]\.attention\.source is 3; expected an earlier block"),
        (-1, r"source is -1; expected an earlier block"),
        (1, r"has 2 key/value heads of width 8, and its source, block 1, 2 of width 16"),
    ):
        changed = (*blocks[:2], blocks[2].with_attention(source=source), blocks[3])
        with pytest.raises(BadInput, match=message):
            check(replace(DECODERS["gemma4"], blocks=changed))
    other = (*blocks[:3], replace(blocks[3], per_layer=None))
    with pytest.raises(BadInput, match=r"blocks\[3\]\.per_layer differs from blocks\[0\]"):
        check(replace(DECODERS["gemma4"], blocks=other))


@pytest.mark.parametrize("name", catalog.names())
def test_every_catalogue_entry_is_valid(name):
    check(catalog.load(name), name)


BROKEN = {
    "family is empty": replace(VALID, family=""),
    "d_model is 0": replace(VALID, d_model=0),
    "n_vocab is 1": replace(VALID, n_vocab=1),
    "n_ctx is -1": replace(VALID, n_ctx=-1),
    "n_layers is 0": replace(VALID, blocks=(), final_norm=None),
    "final_norm is None": replace(VALID, final_norm=None),
    "final_norm.eps is 0": replace(VALID, final_norm=RMSNorm(0.0)),
    "encoder_norm is set without encoder": replace(VALID, encoder_norm=NORM),
    "encoder_norm is None": replace(ENCODER_DECODER, encoder_norm=None),
    "head.softcap is -1": replace(VALID, head=Head(softcap=-1.0)),
    "head.scale is nan": replace(VALID, head=Head(scale=math.nan)),
    "embedding.scale is inf": replace(VALID, embedding=Embedding(scale=math.inf)),
    "embedding.n_types is -1": replace(VALID, embedding=Embedding(n_types=-1)),
    "embedding.norm.eps is -1": replace(VALID, embedding=Embedding(norm=LayerNorm(-1.0))),
    "embedding.position.n_positions is 63": replace(VALID, embedding=Embedding(Learned(63))),
    "d_model is 31": replace(VALID, d_model=31, embedding=Embedding(Sinusoidal(64))),
    "attention.d_head is 0": with_attention(d_head=0),
    "attention.n_heads is 0": with_attention(n_heads=0),
    "n_kv_heads is 3; expected a divisor of n_heads, 4": with_attention(n_kv_heads=3),
    "n_kv_heads is 8": with_attention(n_kv_heads=8),
    "unknown blocks[0].attention.bias `some`": with_attention(bias="some"),
    "attention.window is 0": with_attention(window=0),
    "attention.scale is 0": with_attention(scale=0.0),
    "attention.softcap is nan": with_attention(softcap=math.nan),
    "has_joint_query_key_norm is True without query_key_norm": with_attention(has_joint_query_key_norm=True),
    "query_key_norm is LayerNorm; with has_joint_query_key_norm": with_attention(
        query_key_norm=LayerNorm(1e-5), has_joint_query_key_norm=True
    ),
    "residual_scale is 0": replace(VALID, blocks=(replace(BLOCK, residual_scale=0.0),)),
    "residual_scale is nan": replace(VALID, blocks=(replace(BLOCK, residual_scale=math.nan),)),
    "ffn.limit is -7": replace(VALID, blocks=(replace(BLOCK, ffn=Gated(64, limit=-7.0)),)),
    "ffn.up_offset is inf": replace(VALID, blocks=(replace(BLOCK, ffn=Gated(64, up_offset=math.inf)),)),
    "query_key_norm.eps is -1": with_attention(query_key_norm=RMSNorm(-1.0)),
    "window is 4 without is_causal": with_attention(window=4, is_causal=False),
    "position.base is 1": with_rope(base=1.0),
    "n_rotated is 7": with_rope(n_rotated=7),
    "n_rotated is 10; expected an even number from 2 to d_head, 8": with_rope(n_rotated=10),
    "frequency_factors has 3 items": with_rope(frequency_factors=(1.0, 1.0, 1.0)),
    "frequency_factors has a value": with_rope(frequency_factors=(1.0, 0.0, 1.0, 1.0)),
    "scaling.factor is 0.5; expected 1 or more": with_rope(scaling=LinearScaling(0.5)),
    "is NTK with n_rotated 2": with_rope(scaling=NtkScaling(2.0), n_rotated=2),
    "NTK together with frequency_factors": with_rope(scaling=NtkScaling(2.0), frequency_factors=(1.0,) * 4),
    "n_original is 0": with_rope(scaling=DynamicNtkScaling(2.0, 0)),
    "high_frequency_factor is 1.0": with_rope(scaling=Llama3Scaling(8.0, 1.0, 1.0, 64)),
    "beta_fast is 1.0": with_rope(scaling=YarnScaling(4.0, 64, beta_fast=1.0)),
    "scaling.attention_factor is 0": with_rope(scaling=YarnScaling(4.0, 64, attention_factor=0.0)),
    "short_factors has 1 items": with_rope(scaling=LongRopeScaling((1.0,), (1.0,) * 4, 64)),
    "long_factors has a value": with_rope(scaling=LongRopeScaling((1.0,) * 4, (math.nan,) * 4, 64)),
    "ffn.d_ff is 0": with_block(ffn=Gated(0)),
    "unknown blocks[0].ffn.activation `swoosh`": with_block(ffn=MLP(8, "swoosh")),
    "ffn.n_active is 3; expected 1 to n_experts, 2": with_block(ffn=MixtureOfExperts(2, 3, Gated(8))),
    "ffn.n_experts is 0": with_block(ffn=MixtureOfExperts(0, 0, Gated(8))),
    "ffn.expert.d_ff is 0": with_block(ffn=MixtureOfExperts(2, 1, Gated(0))),
    "blocks[0].norm.eps is nan": with_block(norm=RMSNorm(math.nan)),
    "unknown blocks[0].placement `before`": with_block(placement="before"),
    "blocks[1].attention.is_causal is False": replace(VALID, blocks=(BLOCK, ENCODER)),
    "encoder[0].attention.is_causal is True": replace(ENCODER_DECODER, encoder=(BLOCK,)),
    "1 blocks have cross_attention without an encoder": replace(
        ENCODER_DECODER, encoder=(), encoder_norm=None
    ),
    "encoder has 1 blocks that no block reads": replace(ENCODER_DECODER, blocks=(BLOCK,)),
    "encoder[0].cross_attention is set": replace(
        ENCODER_DECODER, encoder=(replace(ENCODER, cross_attention=BIDIRECTIONAL),)
    ),
    "cross_attention.is_causal is True": with_cross_attention(is_causal=True),
    "cross_attention.position is Rope": with_cross_attention(position=ROPE),
    "placement is parallel with cross_attention": replace(
        ENCODER_DECODER, blocks=(replace(BLOCK, placement="parallel", cross_attention=BIDIRECTIONAL),)
    ),
    "RelativeBias in a decoder-only model": with_attention(position=RelativeBias(32, 128, False)),
    "is_bidirectional is True; expected the opposite": with_attention(position=RelativeBias(32, 128, True)),
    "n_buckets is 3": with_attention(position=RelativeBias(3, 128, False)),
    "max_distance is 16": with_attention(position=RelativeBias(32, 16, False)),
}


@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_rule_is_reported(message):
    assert any(message in problem for problem in problems(BROKEN[message])), list(problems(BROKEN[message]))
    with pytest.raises(BadInput, match=r"^toy: "):
        check(BROKEN[message], "toy")


def test_layers_must_agree_on_a_shared_relative_bias():
    first, second = (
        replace(ENCODER, attention=replace(BIDIRECTIONAL, position=RelativeBias(n, 128, True)))
        for n in (32, 16)
    )
    check(replace(ENCODER_DECODER, encoder=(first, first)))
    assert any(
        "encoder[1].attention differs" in p
        for p in problems(replace(ENCODER_DECODER, encoder=(first, second)))
    )


def test_all_problems_are_reported_and_each_block_once():
    bad = replace(VALID, d_model=0, blocks=(replace(BLOCK, ffn=Gated(0)),) * 40)
    listed = list(problems(bad))
    assert len(listed) == 2
    assert any("d_model" in problem for problem in listed)


def test_post_norm_needs_no_final_norm():
    check(replace(VALID, blocks=(replace(BLOCK, placement="post"),), final_norm=None))


def test_blocks_without_norm_and_ffn_are_valid():
    check(replace(VALID, blocks=(Block(ATTENTION, None, None),), final_norm=None))
