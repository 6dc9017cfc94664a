"""Blueprints as TOML: round trips are exact, and invalid files are rejected."""

from dataclasses import fields, replace
from typing import get_args

import pytest

from zeropoint.blueprint import Block, Blueprint, Embedding, Head, catalog
from zeropoint.blueprint.io import from_toml, to_toml
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import FFN, MLP, Gated, MixtureOfExperts
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.position import (
    AttentionPosition,
    EmbeddingPosition,
    Rope,
    RopeScaling,
)
from zeropoint.errors import BadInput

NORM = LayerNorm(1e-5, has_bias=False)
BLOCK = Block(Attention(2, 1, 4, bias="all"), MLP(8, "gelu"), NORM)
TINY = Blueprint("gpt2", 8, 10, 16, (BLOCK,), NORM)
TEXT = to_toml(TINY)


def example(kind):
    """An instance with a value for every field without a default."""
    values = {"int": 3, "float": 0.1, "bool": True, "tuple[float, ...]": (1.0, 2.5)}
    values |= {"Gated": Gated(5), "Activation": "relu"}
    return kind(**{f.name: values[f.type] for f in fields(kind) if f.type in values})


@pytest.mark.parametrize("name", catalog.names())
def test_every_catalogue_entry_round_trips(name):
    blueprint = catalog.load(name)
    assert from_toml(to_toml(blueprint)) == blueprint


@pytest.mark.parametrize("kind", get_args(AttentionPosition), ids=lambda kind: kind.__name__)
def test_every_attention_position_round_trips(kind):
    assert_round_trip(
        replace(TINY, blocks=(replace(BLOCK, attention=replace(BLOCK.attention, position=example(kind))),))
    )


@pytest.mark.parametrize("kind", get_args(EmbeddingPosition), ids=lambda kind: kind.__name__)
def test_every_embedding_position_round_trips(kind):
    assert_round_trip(replace(TINY, embedding=Embedding(example(kind), norm=NORM)))


@pytest.mark.parametrize("kind", get_args(RopeScaling), ids=lambda kind: kind.__name__)
def test_every_rope_scaling_round_trips(kind):
    rope = Rope(1e16, 4, True, example(kind), (1.0, 1e-7))
    assert_round_trip(
        replace(TINY, blocks=(replace(BLOCK, attention=replace(BLOCK.attention, position=rope)),))
    )


@pytest.mark.parametrize("kind", get_args(FFN), ids=lambda kind: kind.__name__)
def test_every_ffn_round_trips(kind):
    assert_round_trip(replace(TINY, blocks=(replace(BLOCK, ffn=example(kind)),)))


@pytest.mark.parametrize(
    "blueprint",
    [
        replace(TINY, family='quotes " \\ and \x7f \n ü'),
        replace(TINY, head=None),
        replace(TINY, head=Head(False, True, 0.1 + 0.2, 30.0, True)),
        replace(TINY, final_norm=None, blocks=(Block(BLOCK.attention, None, None),)),
        replace(TINY, blocks=(BLOCK, replace(BLOCK, norm=RMSNorm(1e-6, True)), BLOCK, BLOCK)),
        replace(TINY, blocks=(BLOCK, replace(BLOCK, ffn=MixtureOfExperts(4, 2, Gated(8)))) * 3),
        replace(TINY, blocks=(replace(BLOCK, cross_attention=BLOCK.attention),), encoder=(BLOCK,) * 4),
    ],
)
def test_unusual_values_round_trip(blueprint):
    assert_round_trip(blueprint)


def assert_round_trip(blueprint):
    assert from_toml(to_toml(blueprint)) == blueprint


def test_equal_blocks_are_written_once():
    assert to_toml(replace(TINY, blocks=(BLOCK,) * 12)).count("[[blocks]]\ncount = 12\n") == 1
    other = replace(BLOCK, ffn=Gated(8))
    text = to_toml(replace(TINY, blocks=(BLOCK, BLOCK, other) * 5))
    assert text.count("[[blocks]]") == 2
    assert "repeat = { blocks = 5 }" in text


def test_defaults_are_not_written():
    assert "is_causal" not in TEXT
    assert "encoder" not in TEXT


INVALID = {
    "is not valid TOML": TEXT + "\nd_model = = 3",
    "`version` is missing": TEXT.replace("version = 1", ""),
    "`version` is 2, but this zeropoint reads up to 1; install a newer one": TEXT.replace(
        "version = 1", "version = 2"
    ),
    "unknown key `d_mode`; expected one of": TEXT.replace("d_model", "d_mode"),
    "(closest: d_model)": TEXT.replace("d_model", "d_mode"),
    "unknown key `blocks[0].norms`": TEXT.replace("\nnorm =", "\nnorms ="),
    "`blocks[0].norm` is missing; give": TEXT.replace("\nnorm = ", "\n# "),
    "`d_model` is true; expected an integer": TEXT.replace("d_model = 8", "d_model = true"),
    "`d_model` is 8.0; expected an integer": TEXT.replace("d_model = 8", "d_model = 8.0"),
    '`n_ctx` is "16"; expected an integer': TEXT.replace("n_ctx = 16", 'n_ctx = "16"'),
    "unknown blocks[0].ffn.activation `gelo`": TEXT.replace('"gelu"', '"gelo"'),
    "unknown blocks[0].norm.kind `batch_norm`; expected one of layer_norm, rms_norm": TEXT.replace(
        'norm = { kind = "layer_norm"', 'norm = { kind = "batch_norm"'
    ).replace('final_norm = { kind = "batch_norm"', 'final_norm = { kind = "layer_norm"'),
    "`blocks[0].attention` is 3; expected": TEXT.replace("attention = {", "attention = 3 # {"),
    "`blocks[0].attention.n_heads` is missing": TEXT.replace("n_heads = 2, ", ""),
    "unknown key `blocks[0].attention.n_head`": TEXT.replace("n_heads = 2", "n_head = 2"),
    "`blocks[0].count` is 5000": TEXT.replace("[[blocks]]", "[[blocks]]\ncount = 5000"),
    '`blocks[0].count` is "2"': TEXT.replace("[[blocks]]", '[[blocks]]\ncount = "2"'),
    "`blocks[0]` is 3; expected a table": TEXT[: TEXT.index("[[blocks]]")] + "blocks = [3]",
    "`repeat.blocks` is 4097": TEXT.replace("version = 1", "version = 1\nrepeat = { blocks = 4097 }"),
    "unknown key `repeat.block`": TEXT.replace("version = 1", "version = 1\nrepeat = { block = 2 }"),
    "`repeat` is 2": TEXT.replace("version = 1", "version = 1\nrepeat = 2"),
}


@pytest.mark.parametrize("message", INVALID)
def test_invalid_files_give_a_one_line_error(message):
    assert INVALID[message] != TEXT
    with pytest.raises(BadInput) as error:
        from_toml(INVALID[message], "toy.toml")
    assert message in str(error.value)
    assert str(error.value).startswith("toy.toml")


def test_an_integer_is_accepted_as_a_float():
    assert from_toml(TEXT.replace("eps = 1e-05", "eps = 1")).final_norm == LayerNorm(1.0, has_bias=False)


@pytest.mark.parametrize("text", ["version = " + "9" * 5000, "version = " + "[" * 5000])
def test_hostile_toml_is_rejected(text):
    with pytest.raises(BadInput):
        from_toml(text)
