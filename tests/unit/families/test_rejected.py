"""Values that a family cannot mean, in config.json and in GGUF metadata: one sentence with file and key."""

import math

import pytest

from tests.unit.families.configs import SMALL
from tests.unit.families.test_gguf import file_of, of_config, read
from zeropoint.errors import BadModelFile

CONFIGS = {
    "phi4": {
        "`short_factor` is '[1.0, 2.0]'; it must be a list of 3 numbers above 0": {
            "rope_scaling": SMALL["phi4"]["rope_scaling"] | {"short_factor": [1.0, 2.0]}
        },
        "`long_factor` is '[1.0, 2.0, 0.0]'; it must be a list of 3": {
            "rope_scaling": SMALL["phi4"]["rope_scaling"] | {"long_factor": [1.0, 2.0, 0.0]}
        },
        "`partial_rotary_factor` is '0.0'; it must be such that": {"partial_rotary_factor": 0.0},
        "`partial_rotary_factor` is '1.5'": {"partial_rotary_factor": 1.5},
    },
    "granite": {
        "`residual_multiplier` is '0'; it must be a number above 0": {"residual_multiplier": 0},
        "`attention_multiplier` is 'nan'; it must be a finite number": {"attention_multiplier": math.nan},
        "`logits_scaling` is '-8.0'": {"logits_scaling": -8.0},
        "`embedding_multiplier` is 'x'": {"embedding_multiplier": "x"},
    },
    "olmo3": {
        "`layer_types` is \"['full_attention']\"; it must be a list of 4": {
            "layer_types": ["full_attention"]
        },
        "`sliding_window` is missing; it must be an integer, since": {"sliding_window": None},
        "`rope_parameters` is \"{'rope_type': 'yarn'}\"": {"rope_parameters": {"rope_type": "yarn"}},
        "`rope_theta` is '0'": {"rope_theta": 0},
    },
    "qwen3moe": {
        "`mlp_only_layers` is '[2]'; it must be a list of integers from 0 to 1": {"mlp_only_layers": [2]},
        "`mlp_only_layers` is '[0, 1]'; it must be such that a layer has experts": {
            "mlp_only_layers": [0, 1]
        },
        "`decoder_sparse_step` is '3'; it must be such that": {"decoder_sparse_step": 3},
        "`decoder_sparse_step` is '0'": {"decoder_sparse_step": 0},
        "`num_experts` is '0'": {"num_experts": 0},
        "`num_experts_per_tok` is '5'; it must be an integer from 1 to 4": {"num_experts_per_tok": 5},
        "`moe_intermediate_size` is '-1'": {"moe_intermediate_size": -1},
    },
    "gpt-oss": {
        "`swiglu_alpha` is 1.0; this family supports only 1.702": {"swiglu_alpha": 1.0},
        "`swiglu_limit` is '0'": {"swiglu_limit": 0},
        "`num_local_experts` is '70000'": {"num_local_experts": 70000},
        "`sliding_window` is '0'": {"sliding_window": 0},
    },
}
METADATA = {
    "granite": {
        "`granite.residual_scale` is 0": {"granite.residual_scale": 0.0},
        "`granite.attention.scale` is nan": {"granite.attention.scale": math.nan},
        "`granite.embedding_scale` is -1": {"granite.embedding_scale": -1.0},
        "`granite.logit_scale` is missing": {"granite.logit_scale": None},
    },
    "olmo3": {
        "`olmo2.attention.sliding_window_pattern` has 3 items": {
            "olmo2.attention.sliding_window_pattern": [True] * 3
        },
    },
    "qwen3moe": {
        "`qwen3moe.expert_count` is missing": {"qwen3moe.expert_count": None},
        "`qwen3moe.expert_used_count` is 5": {"qwen3moe.expert_used_count": 5},
        "`qwen3moe.expert_feed_forward_length` is 0": {"qwen3moe.expert_feed_forward_length": 0},
    },
    "gpt-oss": {
        "`gpt-oss.attention.sliding_window` is 0": {"gpt-oss.attention.sliding_window": 0},
        "`gpt-oss.attention.sliding_window_pattern` has 1 items": {
            "gpt-oss.attention.sliding_window_pattern": [True]
        },
        "`gpt-oss.expert_used_count` is 0": {"gpt-oss.expert_used_count": 0},
    },
    "phi4": {
        "tensor rope_factors_long.weight has 3 items; it must have 4": {"phi3.rope.dimension_count": 8},
        "tensor rope_factors_short.weight is missing": {"rope_factors_short.weight": None},
    },
}


def cases(table):
    return [
        pytest.param(name, changes, words, id=words[:60])
        for name, rows in table.items()
        for words, changes in rows.items()
    ]


@pytest.mark.parametrize(("name", "changes", "words"), cases(CONFIGS))
def test_a_config_is_rejected_by_key(name, changes, words):
    with pytest.raises(BadModelFile) as error:
        of_config(SMALL[name] | changes)
    assert words in str(error.value)
    assert str(error.value).startswith("config.json")


@pytest.mark.parametrize(("name", "changes", "words"), cases(METADATA))
def test_metadata_is_rejected_by_key(name, changes, words):
    """None: the key, or the tensor, is absent."""
    file = file_of(of_config(SMALL[name]))
    file.metadata |= {key: value for key, value in changes.items() if value is not None}
    for key in (key for key, value in changes.items() if value is None):
        del (file.metadata if key in file.metadata else file.tensors)[key]
    with pytest.raises(BadModelFile) as error:
        read(file)
    assert words in str(error.value)
    assert str(error.value).startswith("toy.gguf")
