"""LFM2 and Qwen 3.5: blocks with and without attention, in config.json and in GGUF."""

import pytest

from tests.unit.families.configs import SMALL
from tests.unit.families.published_configs import PUBLISHED
from tests.unit.families.test_gguf import changed, file_of, of_config, read
from zeropoint import families
from zeropoint.blueprint.sources import LogOfNegative, Offset, Regrouped, Rename
from zeropoint.errors import BadInput, BadModelFile


def test_lfm2s_feed_forward_width_is_adjusted_as_in_transformers():
    """Two thirds, times a factor, rounded up to a multiple; null leaves out the last two."""
    widths = {
        (("block_ff_dim", 100),): 80,
        (("block_ff_dim", 100), ("block_ffn_dim_multiplier", 1.5)): 112,
        (("block_ff_dim", 100), ("block_ffn_dim_multiplier", None)): 66,
        (("block_ff_dim", 100), ("block_auto_adjust_ff_dim", False)): 100,
    }
    for changes, width in widths.items():
        assert of_config(SMALL["lfm2"] | dict(changes)).blocks[0].ffn.d_ff == width


def test_lfm2_attends_everywhere_unless_its_config_says_where():
    config = {key: value for key, value in SMALL["lfm2"].items() if key != "full_attn_idxs"}
    assert all(block.recurrence is None for block in of_config(config).blocks)
    types = ["conv", "full_attention", "full_attention"]
    blocks = of_config(config | {"layer_types": types}).blocks
    assert [block.attention is not None for block in blocks] == [False, True, True]


def test_qwen35_attends_in_every_fourth_block_by_default():
    config = SMALL["qwen35"] | {"layer_types": None}
    assert of_config(config) == of_config(SMALL["qwen35"])
    every_second = of_config(config | {"full_attention_interval": 2}).blocks
    assert [block.attention is not None for block in every_second] == [False, True] * 2


def test_qwen35_without_the_tensors_of_its_prediction_layer_is_a_model_without_it():
    blueprint = of_config(SMALL["qwen35"])
    fit = families.for_blueprint(blueprint).fit_to_tensors
    assert fit(blueprint, ["model.norm.weight", "mtp.fc.weight"]) == blueprint
    assert fit(blueprint, ["model.norm.weight"]) == of_config(SMALL["qwen35-without-mtp"])


def test_qwen35s_value_heads_are_tiled_in_gguf_and_grouped_in_hf():
    """Six value heads of two key heads: 0 1 2 | 3 4 5 in a folder, 0 3 | 1 4 | 2 5 in GGUF."""
    grouped = of_config(SMALL["qwen35-grouped"])
    sources = families.for_blueprint(grouped).tensor_map(grouped, "gguf")
    assert sources["blocks.0.recurrence.beta.weight"] == Regrouped(Rename("blk.0.ssm_beta.weight"), 3, 2)
    qkv = Regrouped(Rename("blk.0.attn_qkv.weight"), 3, 2, begin=32)
    assert sources["blocks.0.recurrence.qkv.weight"] == qkv
    output = Regrouped(Rename("blk.0.ssm_out.weight"), 3, 2, axis=1)
    assert sources["blocks.0.recurrence.output.weight"] == output
    assert sources["blocks.0.recurrence.decay_log"] == Regrouped(LogOfNegative(Rename("blk.0.ssm_a")), 3, 2)
    tiled = read(file_of(grouped))
    hf = families.for_blueprint(tiled).tensor_map(tiled, "hf")
    stored = Rename("model.layers.0.linear_attn.in_proj_z.weight")
    assert hf["blocks.0.recurrence.gate.weight"] == Regrouped(stored, 2, 3)


def test_qwen35s_norms_store_gain_minus_one_in_hf_except_within_the_recurrence():
    qwen = read(file_of(of_config(SMALL["qwen35"])))
    hf = families.for_blueprint(qwen).tensor_map(qwen, "hf")
    assert hf["blocks.0.recurrence.norm.weight"] == Rename("model.layers.0.linear_attn.norm.weight")
    assert hf["blocks.0.recurrence_norm.weight"] == Offset(
        Rename("model.layers.0.input_layernorm.weight"), 1.0
    )
    assert hf["blocks.3.attention.query_norm.weight"] == Offset(
        Rename("model.layers.3.self_attn.q_norm.weight"), 1.0
    )
    assert hf["mtp.norm.weight"] == Offset(Rename("mtp.norm.weight"), 1.0)


def test_qwen35s_multi_token_prediction_is_a_block_after_the_others():
    qwen = of_config(SMALL["qwen35"])
    file = file_of(qwen)
    assert (file.metadata["qwen35.block_count"], file.metadata["qwen35.nextn_predict_layers"]) == (5, 1)
    sources = families.for_blueprint(qwen).tensor_map(qwen, "gguf")
    assert sources["mtp.projection.weight"] == Rename("blk.4.nextn.eh_proj.weight")
    assert sources["mtp.block.ffn_norm.weight"] == Offset(Rename("blk.4.post_attention_norm.weight"), -1.0)
    assert (read(file).n_layers, read(file).mtp) == (4, read(file).blocks[3])
    assert read(file_of(of_config(SMALL["qwen35-without-mtp"]))).mtp is None


def test_qwen35s_image_sections_are_those_of_the_published_files():
    assert file_of(of_config(PUBLISHED["qwen3.5-0.8b"])).metadata["qwen35.rope.dimension_sections"] == [
        11,
        11,
        10,
        0,
    ]


REJECTED_GGUF = {
    "`lfm2.attention.head_count_kv` is 0; it must be 1 to 4 for some layer": changed(
        "lfm2", **{"lfm2.attention.head_count_kv": [0, 0, 0]}
    ),
    "`lfm2.attention.head_count_kv` has 2 items; it must have one for each of the 3 layers": changed(
        "lfm2", **{"lfm2.attention.head_count_kv": [0, 2]}
    ),
    "`lfm2.shortconv.l_cache` is 1": changed("lfm2", **{"lfm2.shortconv.l_cache": 1}),
    "`qwen35.full_attention_interval` is 5; it must be 1 to 4, the number of blocks": changed(
        "qwen35", **{"qwen35.full_attention_interval": 5}
    ),
    "`qwen35.ssm.time_step_rank` is 5; it must be a multiple of `qwen35.ssm.group_count`, 2": changed(
        "qwen35", **{"qwen35.ssm.time_step_rank": 5}
    ),
    "`qwen35.ssm.inner_size` is 17; it must be `qwen35.ssm.time_step_rank` times": changed(
        "qwen35", **{"qwen35.ssm.inner_size": 17}
    ),
    "`qwen35.ssm.conv_kernel` is 65": changed("qwen35", **{"qwen35.ssm.conv_kernel": 65}),
    "`qwen35.nextn_predict_layers` is 2": changed("qwen35", **{"qwen35.nextn_predict_layers": 2}),
    "`qwen35.block_count` is 1; it must count a block besides": changed(
        "qwen35", **{"qwen35.block_count": 1}
    ),
}


@pytest.mark.parametrize("message", REJECTED_GGUF)
def test_metadata_that_contradicts_itself_is_rejected_by_name(message):
    with pytest.raises(BadModelFile) as error:
        read(REJECTED_GGUF[message])
    assert message in str(error.value)


REJECTED_HF = {
    "`full_attn_idxs` is '[3]'; it must be a list of layers from 0 to 2": SMALL["lfm2"]
    | {"full_attn_idxs": [3]},
    "`layer_types` is \"['conv']\"; it must be a list of 3": SMALL["lfm2"] | {"layer_types": ["conv"]},
    "`block_ffn_dim_multiplier` is '-1.0'; it must be a number above 0": SMALL["lfm2"]
    | {"block_ffn_dim_multiplier": -1.0},
    "`conv_L_cache` is '1'; it must be an integer from 2 to 64": SMALL["lfm2"] | {"conv_L_cache": 1},
    "`linear_num_value_heads` is '3'; it must be a multiple of `linear_num_key_heads`, 2": SMALL["qwen35"]
    | {"linear_num_value_heads": 3},
    "`attn_output_gate` is False": SMALL["qwen35"] | {"attn_output_gate": False},
    "`mtp_num_hidden_layers` is '2'; it must be an integer from 0 to 1": SMALL["qwen35"]
    | {"mtp_num_hidden_layers": 2},
    "`layer_types` is \"['linear_attention', 'linear_attention', 'linear_attention'": SMALL["qwen35"]
    | {"layer_types": ["linear_attention"] * 4},
    "`full_attention_interval` is '5'; it must be such that one of the 4 layers": SMALL["qwen35"]
    | {"layer_types": None, "full_attention_interval": 5},
}


@pytest.mark.parametrize("message", REJECTED_HF)
def test_a_config_that_contradicts_itself_is_rejected_by_name(message):
    with pytest.raises(BadModelFile) as error:
        of_config(REJECTED_HF[message])
    assert message in str(error.value)


INEXPRESSIBLE = {
    "blocks[0].recurrence.has_bias is True": of_config(SMALL["lfm2"] | {"conv_bias": True}),
    "needs attention in every n-th block": of_config(
        SMALL["qwen35"] | {"layer_types": ["linear_attention", *["full_attention"] * 3]}
    ),
    "one width for keys and values, and these have 8 and 6 columns": of_config(
        SMALL["qwen35"] | {"linear_value_head_dim": 6}
    ),
    "no block has a GatedDeltaNet": of_config(SMALL["qwen35"] | {"layer_types": ["full_attention"] * 4}),
}


@pytest.mark.parametrize("message", INEXPRESSIBLE)
def test_metadata_that_cannot_express_the_blueprint_is_not_written(message):
    blueprint = INEXPRESSIBLE[message]
    with pytest.raises(BadInput) as error:
        families.for_blueprint(blueprint).to_gguf(blueprint)
    assert message in str(error.value)
