"""config.json of the families whose blocks differ in attention: Gemma 3 and 4, SmolLM3, Ministral 3."""

import pytest

from tests.unit.families.configs import SMALL
from tests.unit.families.published_configs import PUBLISHED
from tests.unit.families.test_hf import blueprint_of
from zeropoint import families
from zeropoint.blueprint.parts.attention import QueryScale
from zeropoint.blueprint.parts.position import LinearScaling, NoPosition, Rope
from zeropoint.errors import BadModelFile


def test_gemma3_has_a_global_block_after_five_local_ones_with_a_rope_of_its_own():
    attentions = blueprint_of(PUBLISHED["gemma-3-4b"]).attentions
    assert [a.window for a in attentions[:12]] == ([1024] * 5 + [None]) * 2
    assert attentions[0].position == Rope(10000.0, 256)
    assert attentions[5].position == Rope(1e6, 256, scaling=LinearScaling(8.0))
    every_third = blueprint_of(SMALL["gemma3"] | {"sliding_window_pattern": 3}).attentions
    assert [a.window for a in every_third] == [8, 8, None, 8, 8, None, 8]


def test_gemma3s_ropes_are_read_in_both_layouts():
    old = SMALL["gemma3"] | {"rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_theta": 5e5}
    new = {key: value for key, value in old.items() if "rope" not in key}
    everywhere = {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5}
    nested = {"full_attention": everywhere, "sliding_attention": {"rope_theta": 10000.0}}
    assert blueprint_of(old) == blueprint_of(new | {"rope_parameters": nested})


def test_smollm3_does_not_rotate_every_fourth_block():
    attentions = blueprint_of(PUBLISHED["smollm3-3b"]).attentions
    assert [type(a.position) for a in attentions[:8]] == ([Rope] * 3 + [NoPosition]) * 2
    listed = SMALL["smollm3"] | {"no_rope_layers": [0, 1, 1, 1, 0, 1]}  # more than the model's five
    rotated = [isinstance(a.position, Rope) for a in blueprint_of(listed).attentions]
    assert rotated == [False, True, True, True, False]
    windows = listed | {"use_sliding_window": True, "sliding_window": 8}
    assert [a.window for a in blueprint_of(windows).attentions] == [8, None, None, None, 8]
    assert {a.window for a in blueprint_of(windows | {"use_sliding_window": False}).attentions} == {None}


def test_ministral3s_queries_grow_with_the_position():
    attention = blueprint_of(PUBLISHED["ministral-3-3b"]).attention
    assert attention.query_scale == QueryScale(0.1, 16384)
    assert attention.position.attention_factor() == 1.0
    default = {key: value for key, value in PUBLISHED["ministral-3-3b"].items() if key != "rope_parameters"}
    assert blueprint_of(default) == blueprint_of(PUBLISHED["ministral-3-3b"])


def test_gemma4s_late_blocks_read_the_keys_and_values_of_the_last_block_of_their_kind():
    attentions = blueprint_of(PUBLISHED["gemma-4-e2b"]).attentions
    assert [a.source for a in attentions] == [None] * 15 + [13, 13, 13, 13, 14] * 4
    assert {(a.window, a.d_head, a.position.base) for a in attentions} == {(512, 256, 1e4), (None, 512, 1e6)}
    rope = attentions[4].position
    assert [f > 0 for f in rope.frequencies()] == [True] * 64 + [False] * 192
    assert [b.ffn.d_ff for b in blueprint_of(PUBLISHED["gemma-4-e2b"]).blocks] == [6144] * 15 + [12288] * 20


def test_gemma4s_exceptions_of_layers_are_read_as_transformers_writes_them():
    plain = {key: value for key, value in SMALL["gemma4"].items() if key != "global_head_dim"}
    exceptions = {"2": {"head_dim": 16}, "4": {"head_dim": 16}}
    assert blueprint_of(plain | {"per_layer_config": exceptions}) == blueprint_of(SMALL["gemma4"])
    assert {a.d_head for a in blueprint_of(plain | {"per_layer_config": {}}).attentions} == {8}
    assert blueprint_of(plain).attentions[2].d_head == 512  # transformers' default


def test_the_text_part_of_a_multimodal_config_is_used():
    text = PUBLISHED["gemma-3-4b"]
    outer = {"model_type": "gemma3", "eos_token_id": [1, 106], "architectures": ["A"], "vision_config": {}}
    config = families.text_config(outer | {"text_config": text}, "config.json")
    assert config == text | {"eos_token_id": [1, 106]}
    untyped = {key: value for key, value in text.items() if key != "model_type"}
    assert families.text_config(outer | {"text_config": untyped}, "config.json") == config
    assert families.text_config(text, "config.json") == text
    untied, tied = {"tie_word_embeddings": False}, {"tie_word_embeddings": True}
    for first, second in ((untied, tied), (tied, untied)):
        both = outer | first | {"text_config": text | second}
        assert families.text_config(both, "config.json")["tie_word_embeddings"] is True
    with pytest.raises(BadModelFile, match="`text_config` is '3'; it must be an object"):
        families.text_config(outer | {"text_config": 3}, "config.json")


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("language_model.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight"),
        ("model.language_model.norm.weight", "model.norm.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("model.vision_tower.x", "model.vision_tower.x"),
    ],
)
def test_tensors_of_a_multimodal_model_get_the_names_of_a_text_model(stored, expected):
    assert families.text_name(stored) == expected
