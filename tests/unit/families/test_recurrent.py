"""Models with recurrences: variants of config.json that are read, and keys that are refused by name."""

from __future__ import annotations

import pytest

from tests.unit.families.recurrent_configs import (
    MAMBA2_130M_BY_ITS_AUTHORS,
    PUBLISHED_RECURRENT,
    SMALL_RECURRENT,
)
from tests.unit.families.test_gguf import changed, read
from zeropoint import families
from zeropoint.errors import BadModelFile


def blueprint_of(config):
    return families.for_hf(config).from_hf(config)


def test_the_config_of_mamba2s_authors_is_read():
    authors = MAMBA2_130M_BY_ITS_AUTHORS
    assert blueprint_of(authors) == blueprint_of(PUBLISHED_RECURRENT["mamba2-130m"])
    ssm = {"layer": "Mamba2", "headdim": 32, "d_state": 64, "ngroups": 2, "d_conv": 3, "expand": 1}
    spec = blueprint_of(authors | {"ssm_cfg": ssm}).blocks[0].recurrence
    assert (spec.n_heads, spec.d_head, spec.d_state, spec.n_groups, spec.d_kernel) == (24, 32, 64, 2, 3)
    for change, words in (
        ({"attn_layer_idx": [3]}, "`attn_layer_idx` is"),
        ({"d_intermediate": 64}, "`d_intermediate` is 64"),
        ({"rms_norm": False}, "`rms_norm` is False"),
        ({"ssm_cfg": {"layer": "Mamba1"}}, "`model_type` is missing"),
    ):
        with pytest.raises(BadModelFile, match=words):
            blueprint_of(authors | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_heads": 7}, "`num_heads` is '7'; it must be `expand` \\* `hidden_size` / `head_dim`, 8"),
        ({"n_groups": 3}, "`n_groups` is '3'; it must be a divisor of `num_heads`, 8"),
        ({"n_groups": 16}, "`n_groups` is '16'; it must be an integer from 1 to 8"),
        ({"state_size": 0}, "`state_size` is '0'"),
        ({"conv_kernel": 1}, "`conv_kernel` is '1'; it must be an integer from 2 to 64"),
        ({"hidden_act": "relu"}, "`hidden_act` is 'relu'"),
        ({"norm_before_gate": True}, "`norm_before_gate` is True"),
        ({"time_step_limit": [0.1, 1.0]}, "`time_step_limit` is"),
        ({"time_step_limit": 3}, "`time_step_limit` is '3'"),
    ],
)
def test_invalid_mamba2_configs_name_the_key(change, words):
    with pytest.raises(BadModelFile, match=words):
        blueprint_of(SMALL_RECURRENT["mamba2"] | change)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer_types": ["mamba", "attention"]}, "`layer_types` is .* it must be a list of 3"),
        ({"layer_types": ["mamba", "attention", "lstm"]}, "`layer_types` is .* it must be a list of 3"),
        ({"mamba_n_heads": 7}, "`mamba_n_heads` is '7'; it must be `mamba_expand`"),
        ({"mamba_n_heads": 7, "mamba_d_head": "auto"}, "`mamba_n_heads` is '7'"),
        ({"mamba_n_groups": 3}, "`mamba_n_groups` is '3'; it must be a divisor of `mamba_n_heads`, 4"),
        ({"position_embedding_type": "alibi"}, "`position_embedding_type`"),
        ({"residual_multiplier": 0}, "`residual_multiplier` is '0'; it must be a number above 0"),
        ({"num_experts_per_tok": 5}, "`num_experts_per_tok` is '5'; it must be an integer from 1 to 4"),
        ({"shared_intermediate_size": 0}, "`shared_intermediate_size` is '0'"),
    ],
)
def test_invalid_granite_4_configs_name_the_key(change, words):
    with pytest.raises(BadModelFile, match=words):
        blueprint_of(SMALL_RECURRENT["granitehybrid-experts"] | change)


def test_mamba2_step_limits_are_read_as_transformers_writes_them():
    written = SMALL_RECURRENT["mamba2"] | {"time_step_limit": [0.0, {"__float__": "Infinity"}]}
    assert blueprint_of(written) == blueprint_of(SMALL_RECURRENT["mamba2"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head_dim": 7}, "`head_dim` is '7'; it must be a divisor of `hidden_size`, 32"),
        ({"num_heads": 3}, "`num_heads` is '3'; it must be `hidden_size` / `head_dim`, 4"),
        ({"value_dim": [32, 64]}, "`value_dim` is .* it must be `hidden_size`, 32"),
        ({"gate_low_rank_dim": 0}, "`gate_low_rank_dim` is '0'"),
        ({"attn": {"layers": [1]}}, "`attn` is .* blocks with attention are not supported"),
        ({"hidden_act": "relu"}, "`hidden_act` is 'relu'"),
        ({"norm_first": False}, "`norm_first` is False"),
        ({"intermediate_size": None, "hidden_ratio": -1.0}, "`hidden_ratio` is '-1.0'"),
    ],
)
def test_invalid_rwkv7_configs_name_the_key(change, words):
    with pytest.raises(BadModelFile, match=words):
        blueprint_of(SMALL_RECURRENT["rwkv7"] | change)


def test_rwkv7_derives_its_feed_forward_width():
    config = PUBLISHED_RECURRENT["rwkv7-0.1b"]
    assert blueprint_of(config).blocks[0].ffn.d_ff == 3072
    assert blueprint_of(config | {"hidden_ratio": 3.01}).blocks[0].ffn.d_ff == 2336


REJECTED = {
    "`mamba2.ssm.time_step_rank` is 7; it must divide `mamba2.ssm.inner_size`, 64": changed(
        "mamba2", **{"mamba2.ssm.time_step_rank": 7}
    ),
    "`mamba2.ssm.group_count` is 3; it must divide `mamba2.ssm.time_step_rank`, 8": changed(
        "mamba2", **{"mamba2.ssm.group_count": 3}
    ),
    "`mamba2.ssm.group_count` is 0": changed("mamba2", **{"mamba2.ssm.group_count": 0}),
    "`mamba2.ssm.inner_size`": changed("mamba2", **{"mamba2.ssm.inner_size": 0}),
    "`mamba2.ssm.state_size` is 5000": changed("mamba2", **{"mamba2.ssm.state_size": 5000}),
    "`granitehybrid.ssm.time_step_rank` is 5": changed(
        "granitehybrid", **{"granitehybrid.ssm.time_step_rank": 5}
    ),
    "`granitehybrid.attention.head_count_kv` has 2 items; it must have one for each of the 3": changed(
        "granitehybrid", **{"granitehybrid.attention.head_count_kv": [0, 2]}
    ),
    "`granitehybrid.attention.head_count_kv` is 0; it must be": changed(
        "granitehybrid", **{"granitehybrid.attention.head_count_kv": [0, 0, 0]}
    ),
    "`granitehybrid.expert_used_count` is 9": changed(
        "granitehybrid-experts", **{"granitehybrid.expert_used_count": 9}
    ),
    "`granitehybrid.expert_shared_feed_forward_length`": changed(
        "granitehybrid-experts", **{"granitehybrid.expert_shared_feed_forward_length": -1}
    ),
    "`rwkv7.wkv.head_size` is 7; it must divide `rwkv7.embedding_length`, 32": changed(
        "rwkv7", **{"rwkv7.wkv.head_size": 7}
    ),
    "`rwkv7.attention.value_residual_mix_lora_rank` is 0": changed(
        "rwkv7", **{"rwkv7.attention.value_residual_mix_lora_rank": 0}
    ),
    "`rwkv7.token_shift_count` is 1": changed("rwkv7", **{"rwkv7.token_shift_count": 1}),
    "`rwkv7.feed_forward_length`": changed("rwkv7", **{"rwkv7.feed_forward_length": 0}),
    "`mamba2.ssm.conv_kernel` is 1": changed("mamba2", **{"mamba2.ssm.conv_kernel": 1}),
}


@pytest.mark.parametrize("message", REJECTED)
def test_invalid_metadata_names_the_key(message):
    with pytest.raises(BadModelFile) as error:
        read(REJECTED[message])
    assert message in str(error.value)
