"""config.json: round trips; tensor names and shapes equal to transformers'."""

import math
from dataclasses import replace

import pytest

from tests.unit.families.base_configs import LONGROPE
from tests.unit.families.configs import SMALL
from tests.unit.families.published_configs import PUBLISHED
from zeropoint import families
from zeropoint.blueprint import catalog
from zeropoint.blueprint.check import check
from zeropoint.blueprint.parts.position import (
    DynamicNtkScaling,
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    YarnScaling,
)
from zeropoint.blueprint.sources import Rename, Reshaped, Rows, Stacked, Transposed, stored_names
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile

ALL = PUBLISHED | SMALL


def blueprint_of(config):
    return families.for_hf(config).from_hf(config)


def rope_of(config):
    return blueprint_of(config).blocks[0].attention.position


def llama(**changes):
    return SMALL["llama"] | changes


@pytest.mark.parametrize("name", ALL)
def test_a_config_round_trips(name):
    blueprint = blueprint_of(ALL[name])
    check(blueprint, name)
    config = families.for_blueprint(blueprint).to_hf(blueprint)
    assert blueprint_of(config) == blueprint
    for key, value in config.items():
        if value is not None and ALL[name].get(key) is not None and not isinstance(value, dict):
            assert value == ALL[name][key], key


@pytest.mark.parametrize("name", sorted(PUBLISHED.keys() & set(catalog.names())))
def test_a_published_config_equals_the_catalogs_blueprint(name):
    assert blueprint_of(PUBLISHED[name]) == catalog.load(name)


@pytest.mark.parametrize("name", ALL)
def test_every_tensor_has_one_source(name):
    blueprint = blueprint_of(ALL[name])
    sources = families.for_blueprint(blueprint).tensor_map(blueprint, "hf")
    assert sources.keys() == parameters(blueprint).keys()


@pytest.mark.parametrize("name", SMALL)
def test_names_and_shapes_equal_those_of_transformers(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    if SMALL[name]["model_type"] not in transformers.CONFIG_MAPPING:
        pytest.skip("transformers does not have this family")
    blueprint = replace(blueprint_of(SMALL[name]), mtp=None)  # transformers drops that layer
    family = families.for_blueprint(blueprint)
    config = family.to_hf(blueprint)
    architecture = config.pop("architectures")[0]
    with torch.device("meta"):
        model = getattr(transformers, architecture)(transformers.AutoConfig.for_model(**config))
    theirs = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    if name in ("mixtral", "qwen3moe"):  # one tensor per expert on disk; transformers stacks them on loading
        theirs = _unstacked(theirs, name == "mixtral")
    if name == "granitehybrid-experts":  # transformers renames them on loading
        for loaded, on_disk in GRANITE_EXPERTS.items():
            theirs = {key.replace(loaded, on_disk): shape for key, shape in theirs.items()}
    sources = family.tensor_map(blueprint, "hf")
    used = {stored for source in sources.values() for stored in stored_names(source)}
    assert used <= theirs.keys()
    duplicates = {"lm_head.weight", "cls.predictions.decoder.weight", "cls.predictions.decoder.bias"}
    duplicates |= {"encoder.embed_tokens.weight", "decoder.embed_tokens.weight"}
    assert theirs.keys() - used <= duplicates
    for ours, shape in parameters(blueprint).items():
        assert _shape(sources[ours], theirs) == shape, ours


GRANITE_EXPERTS = {
    "experts.gate_up_proj": "input_linear.weight",
    "experts.down_proj": "output_linear.weight",
    "router.weight": "router.layer.weight",
}


def _unstacked(theirs, is_mixtral):
    unstacked = {}
    gate, down, up = ("w1", "w2", "w3") if is_mixtral else ("gate_proj", "down_proj", "up_proj")
    for key, shape in theirs.items():
        if is_mixtral:
            key = key.replace(".mlp.", ".block_sparse_moe.")
        if not key.endswith("_proj") or "experts" not in key:
            unstacked[key] = shape
            continue
        stem, (n, rows, columns) = key.rpartition(".")[0], shape
        parts = {down: (rows, columns)}
        if key.endswith("gate_up_proj"):
            parts = {gate: (rows // 2, columns), up: (rows // 2, columns)}
        unstacked |= {f"{stem}.{e}.{w}.weight": shape for e in range(n) for w, shape in parts.items()}
    return unstacked


def _shape(source, theirs):
    match source:
        case Rename(name):
            return theirs[name]
        case Rows(inner, begin, end, axis):
            shape = [*_shape(inner, theirs)]
            assert 0 <= begin < end <= shape[axis]
            shape[axis] = end - begin
            return tuple(shape)
        case Transposed(inner):
            *stack, rows, columns = _shape(inner, theirs)
            return (*stack, columns, rows)
        case Reshaped(inner, ours, stored):
            assert _shape(inner, theirs) == stored
            return ours
        case Stacked(inner):
            return (len(inner), *_shape(inner[0], theirs))
        case _:
            return _shape(source.source, theirs)


SCALINGS = {
    "linear": ({"type": "linear", "factor": 4.0}, LinearScaling(4.0)),
    "dynamic": ({"type": "dynamic", "factor": 2.0}, DynamicNtkScaling(2.0, 64)),
    "default": ({"rope_type": "default"}, None),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
        Llama3Scaling(8.0, 1.0, 4.0, 16),
    ),
    "yarn": (
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "beta_fast": 16},
        YarnScaling(4.0, 16, 16.0),
    ),
    "yarn, whole pairs or not": (
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 40,
            "beta_fast": 4,
            "truncate": False,
        },
        YarnScaling(4.0, 40, 4.0, has_whole_pairs=False),
    ),
    "longrope": (
        {"type": "su", "short_factor": [1.0] * 4, "long_factor": [2.0] * 4, "attention_factor": 1.5},
        LongRopeScaling((1.0,) * 4, (2.0,) * 4, 64, 1.5),
    ),
}


@pytest.mark.parametrize("kind", SCALINGS)
def test_scalings_are_read_in_both_layouts(kind):
    keys, scaling = SCALINGS[kind]
    old = llama(rope_scaling=keys)
    new = llama(rope_parameters=keys | {"rope_theta": 10000.0})
    del new["rope_theta"]
    assert rope_of(old).scaling == scaling
    assert rope_of(new) == rope_of(old)
    assert blueprint_of(families.for_hf(old).to_hf(blueprint_of(old))) == blueprint_of(old)


def test_a_scaling_added_to_a_config_of_transformers_5_is_used():
    """Model cards ask for `rope_scaling` to read longer texts; the file has `rope_parameters` already."""
    keys, scaling = SCALINGS["yarn"]
    config = llama(rope_parameters={"rope_type": "default", "rope_theta": 1e6}, rope_scaling=keys)
    del config["rope_theta"]
    assert (rope_of(config).base, rope_of(config).scaling) == (1e6, scaling)


@pytest.mark.parametrize("kind", ["linear", "dynamic", "llama3", "yarn", "yarn, whole pairs or not"])
def test_frequencies_equal_those_of_transformers(kind):
    functions = pytest.importorskip("transformers.modeling_rope_utils").ROPE_INIT_FUNCTIONS
    transformers = pytest.importorskip("transformers")
    config = llama(rope_scaling=SCALINGS[kind][0])
    theirs, factor = functions[kind.partition(",")[0]](
        transformers.AutoConfig.for_model(**config), seq_len=128
    )
    rope = rope_of(config)
    assert rope.frequencies(128) == pytest.approx(theirs.tolist(), rel=1e-6)
    assert rope.attention_factor() == pytest.approx(factor)


def test_longrope_derives_its_attention_factor_from_the_context_lengths():
    rope = rope_of(PUBLISHED["phi-3-mini-128k"])
    assert rope.attention_factor() == pytest.approx(math.sqrt(1 + math.log(32) / math.log(4096)))
    assert rope.scaling.n_original == 4096
    assert len(rope.scaling.long_factors) == len(LONGROPE["long_factor"])


def test_longrope_is_read_under_its_early_name():
    early = SMALL["phi4"] | {"rope_scaling": SMALL["phi4"]["rope_scaling"] | {"type": "yarn"}}
    assert rope_of(early) == rope_of(SMALL["phi4"])
    del early["original_max_position_embeddings"]
    assert rope_of(early).scaling.n_original == 4096  # as transformers assumes


def test_an_unused_sliding_window_is_none():
    assert {b.attention.window for b in blueprint_of(PUBLISHED["qwen2-0.5b"]).blocks} == {None}


def test_qwens_windows_begin_at_max_window_layers():
    config = SMALL["qwen2"] | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    assert [block.attention.window for block in blueprint_of(config).blocks] == [None, 8]
    assert blueprint_of(families.for_hf(config).to_hf(blueprint_of(config))) == blueprint_of(config)


def test_gemma_alternates_windows_by_default():
    assert [b.attention.window for b in blueprint_of(SMALL["gemma2"]).blocks] == [4096, None] * 2
    types = ["full_attention"] * 3 + ["sliding_attention"]
    explicit = blueprint_of(SMALL["gemma2"] | {"layer_types": types})
    assert [block.attention.window for block in explicit.blocks] == [None] * 3 + [4096]


def test_an_explicit_head_dim_is_used():
    assert blueprint_of(SMALL["llama-wide-heads"]).blocks[0].attention.d_head == 16


def test_auto_map_is_never_run():
    config = llama(auto_map={"AutoModelForCausalLM": "modeling_evil.Evil"})
    assert blueprint_of(config) == blueprint_of(SMALL["llama"])


REJECTED = {
    "of the type `lama`, which zeropoint cannot run yet; it runs bert, gemma2": {"model_type": "lama"},
    "`model_type` is missing; it must be one of bert": {"model_type": None},
    "`quantization_config` has the method 'gptq'": llama(quantization_config={"quant_method": "gptq"}),
    "unknown `hidden_act` `mish`; expected one of gelu": llama(hidden_act="mish"),
    "`hidden_size` is missing; it must be": {k: v for k, v in llama().items() if k != "hidden_size"},
    "`hidden_size` is '32'; it must be an integer": llama(hidden_size="32"),
    "`num_hidden_layers` is 'True'; it must be an integer": llama(num_hidden_layers=True),
    "`num_attention_heads` is '0'": llama(num_attention_heads=0),
    "`rms_norm_eps` is 'nan'; it must be a finite number": llama(rms_norm_eps=math.nan),
    "`tie_word_embeddings` is 'yes'; it must be true or false": llama(tie_word_embeddings="yes"),
    "`mlp_bias` is True; this family supports only False": llama(mlp_bias=True),
    "`rope_scaling` is '3'; it must be an object": llama(rope_scaling=3),
    "unknown `rope_type` `spiral`; expected one of default, dynamic, linear": llama(
        rope_scaling={"rope_type": "spiral", "factor": 2.0}
    ),
    "`factor` is missing": llama(rope_scaling={"rope_type": "linear"}),
    "`truncate` is 'no'; it must be true or false": llama(
        rope_scaling={"rope_type": "yarn", "factor": 2.0, "truncate": "no"},
    ),
    "`short_factor` is 'x'; it must be a list of numbers": llama(
        rope_scaling={"type": "longrope", "short_factor": "x", "long_factor": []}
    ),
    "`scale_attn_by_inverse_layer_idx` is True": SMALL["gpt2"] | {"scale_attn_by_inverse_layer_idx": True},
    "`qk_layernorm` is True": SMALL["phi2"] | {"qk_layernorm": True},
    "`position_embedding_type` is 'relative_key'": SMALL["bert"]
    | {"position_embedding_type": "relative_key"},
    "unknown `feed_forward_proj` `gated-relu`": SMALL["t5"] | {"feed_forward_proj": "gated-relu"},
    "`query_pre_attn_scalar` is '-1'; it must be a number above 0": SMALL["gemma3"]
    | {"query_pre_attn_scalar": -1},
    "`query_pre_attn_scalar` is '0'": SMALL["gemma2"] | {"query_pre_attn_scalar": 0},
    "`sliding_window` is missing; it must be an integer, since some layers slide": SMALL["gemma3"]
    | {"sliding_window": None},
    "`sliding_window_pattern` is '0'; it must be an integer from 1": SMALL["gemma3"]
    | {"sliding_window_pattern": 0},
    "`attn_logit_softcapping` is 50.0; this family supports only None": SMALL["gemma3"]
    | {"attn_logit_softcapping": 50.0},
    "`rope_parameters` is \"{'rope_type': 'default'}\"; it must be an object with full_attention": SMALL[
        "gemma3"
    ]
    | {"rope_parameters": {"rope_type": "default"}},
    "rope_parameters: `sliding_attention` is '3'; it must be an object": SMALL["gemma3"]
    | {"rope_parameters": {"sliding_attention": 3}},
    "`no_rope_layers` is '[1, 1]'; it must be a list of 0 and 1, one for each of the 5": SMALL["smollm3"]
    | {"no_rope_layers": [1, 1]},
    "`no_rope_layers` is '[1, 2, 1, 1, 1]'": SMALL["smollm3"] | {"no_rope_layers": [1, 2, 1, 1, 1]},
    "`no_rope_layer_interval` is '0'": SMALL["smollm3"] | {"no_rope_layer_interval": 0},
    "rope_parameters: `llama_4_scaling_beta` is '-1'; it must be a number of at least 0": SMALL["ministral3"]
    | {"rope_parameters": {"rope_type": "default", "llama_4_scaling_beta": -1}},
    "`num_kv_shared_layers` is '5'; it must be an integer from 0 to 4": SMALL["gemma4"]
    | {"num_kv_shared_layers": 5},
    "`num_kv_shared_layers` is '4'; it must be fewer, since no layer of that type has": SMALL["gemma4"]
    | {"num_kv_shared_layers": 4},
    "`vocab_size_per_layer_input` is '95'; it must be `vocab_size`, 96": SMALL["gemma4"]
    | {"vocab_size_per_layer_input": 95},
    "`attention_k_eq_v` is True": SMALL["gemma4"] | {"attention_k_eq_v": True},
    "`enable_moe_block` is True": SMALL["gemma4"] | {"enable_moe_block": True},
    "`per_layer_config` is \"{'0': {'head_dim': 4}}\"; it must be only `head_dim`, of layers without": SMALL[
        "gemma4"
    ]
    | {"per_layer_config": {"0": {"head_dim": 4}}},
    "the same `head_dim` for all layers without a window": SMALL["gemma4"]
    | {"per_layer_config": {"2": {"head_dim": 16}, "4": {"head_dim": 32}}},
    "`global_head_dim` is '0'": SMALL["gemma4"] | {"global_head_dim": 0},
    "`partial_rotary_factor` is '1.5'; it must be a number above 0": SMALL["gemma4"]
    | {"rope_parameters": {"full_attention": {"rope_type": "proportional", "partial_rotary_factor": 1.5}}},
    "`layer_types` is \"['chunked']\"; it must be a list of 4": SMALL["gemma2"]
    | {"layer_types": ["chunked"]},
}


@pytest.mark.parametrize("message", REJECTED)
def test_unsupported_values_are_rejected_by_name(message):
    with pytest.raises(BadModelFile) as error:
        blueprint_of(REJECTED[message])
    assert message in str(error.value)
    assert str(error.value).startswith("config.json")


def changed(name, **changes):
    blueprint = blueprint_of(SMALL[name])
    blocks = tuple(
        replace(block, attention=replace(block.attention, **changes)) for block in blueprint.blocks
    )
    return replace(blueprint, blocks=blocks)


INEXPRESSIBLE = {
    "blocks[0].attention.window is 4": changed("llama", window=4),
    "blocks[0].attention.softcap is 9.0": changed("qwen3", softcap=9.0),
    "blocks[0].attention.bias is 'none'": changed("gpt2", bias="none"),
    "blocks[0].attention.scale is 0.5": changed("phi2", scale=0.5),
    "final_norm.eps is 0.5": replace(
        blueprint_of(SMALL["llama"]), final_norm=replace(blueprint_of(SMALL["llama"]).final_norm, eps=0.5)
    ),
}


@pytest.mark.parametrize("message", INEXPRESSIBLE)
def test_a_config_that_cannot_express_the_blueprint_is_not_written(message):
    blueprint = INEXPRESSIBLE[message]
    with pytest.raises(BadInput) as error:
        families.for_blueprint(blueprint).to_hf(blueprint)
    assert message in str(error.value)
