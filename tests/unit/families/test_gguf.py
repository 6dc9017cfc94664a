"""GGUF metadata: round trips, and how each architecture's storage differs from ours."""

import math
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from tests.unit.families.configs import SMALL
from tests.unit.families.published_configs import PUBLISHED
from zeropoint import families
from zeropoint.blueprint.check import check
from zeropoint.blueprint.parts.attention import QueryScale
from zeropoint.blueprint.parts.position import Llama3Scaling, NoPosition, Rope
from zeropoint.blueprint.sources import (
    LogOfNegative,
    Offset,
    Permuted,
    Regrouped,
    Rename,
    Reshaped,
    Rows,
    stored_names,
)
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput, BadModelFile

MODELS = PUBLISHED | SMALL


class File:
    """A GGUF file in memory with a family's view of `GgufModel`; floats are float32, as in GGUF."""

    name = "toy.gguf"
    paths = ("toy.gguf",)

    def __init__(self, metadata, shapes, arrays=()):
        self.metadata = metadata
        self.arrays = {name: np.array(values, np.float32) for name, values in dict(arrays).items()}
        shapes = shapes | {name: array.shape for name, array in self.arrays.items()}
        self.tensors = {name: SimpleNamespace(shape=shape) for name, shape in shapes.items()}

    def array(self, name):
        return self.arrays[name]

    def get_int(self, key, minimum, maximum, *, default=None):
        value = self._get(key, default)
        if not (type(value) is int and minimum <= value <= maximum):
            raise BadModelFile(f"{self.name}: metadata `{key}` is {value}")
        return value

    def get_float(self, key, minimum=-math.inf, maximum=math.inf, *, default=None):
        value = self._get(key, default)
        assert type(value) is float
        if not minimum <= value <= maximum:
            raise BadModelFile(f"{self.name}: metadata `{key}` is {value}")
        return float(np.float32(value))

    def get_bool(self, key, *, default=None):
        value = self._get(key, default)
        assert type(value) is bool
        return value

    def get_str(self, key, *, default=None):
        return self._get(key, default)

    def get_list(self, key, item, *, default=None):
        return list(self._get(key, default))

    def _get(self, key, default):
        if key not in self.metadata and default is None:
            raise BadModelFile(f"{self.name}: metadata `{key}` is missing")
        return self.metadata.get(key, default)


def file_of(blueprint):
    family = families.for_blueprint(blueprint)
    shapes = parameters(blueprint)
    stored = {
        name: shapes[ours]
        for ours, source in family.tensor_map(blueprint, "gguf").items()
        for name in stored_names(source)
    }
    return File(family.to_gguf(blueprint), stored, family.gguf_tensors(blueprint))


def of_config(config):
    return families.for_hf(config).from_hf(config)


def read(file):
    return families.for_gguf(file).from_gguf(file)


@pytest.mark.parametrize("name", MODELS)
def test_a_blueprint_round_trips(name):
    blueprint = of_config(MODELS[name])
    again = read(file_of(blueprint))
    check(again, name)
    if name.startswith("bert"):
        blueprint = replace(blueprint, head=None)  # the encoder only
    # The blueprint now has GGUF's weight layout, so writing it again changes nothing.
    assert read(file_of(again)) == again
    assert parameters(again) == parameters(blueprint)
    assert again.blocks[0].norm.eps == blueprint.blocks[0].norm.eps


@pytest.mark.parametrize("name", MODELS)
def test_a_gguf_file_needs_no_rearranged_weights(name):
    again = read(file_of(of_config(MODELS[name])))
    for source in families.for_blueprint(again).tensor_map(again, "gguf").values():
        while isinstance(source, LogOfNegative | Reshaped | Rows):  # the same values in the same order
            source = source.source
        if isinstance(source, Regrouped):  # entire rows: the query and the gate of a head
            assert (source.axis, source.begin) == (0, 0)
            source = source.source
        assert isinstance(source, Rename)


@pytest.mark.parametrize("name", MODELS)
def test_a_gguf_file_converts_to_a_config(name):
    blueprint = of_config(MODELS[name])
    again = read(file_of(blueprint))
    config = families.for_blueprint(again).to_hf(again)
    # Without a window they are a Llama in GGUF, or without Mamba-2 a Granite.
    if name not in ("mistral-7b-v0.3", "smollm2-135m", "granite4"):
        assert config["model_type"] == MODELS[name]["model_type"]


def test_tensor_names_are_those_of_the_gguf_package():
    constants = pytest.importorskip("gguf.constants")
    for config in SMALL.values():
        blueprint = of_config(config)
        family = families.for_blueprint(blueprint)
        arch = family.to_gguf(blueprint)["general.architecture"]
        kinds = constants.MODEL_TENSORS[next(a for a, n in constants.MODEL_ARCH_NAMES.items() if n == arch)]
        known = {constants.TENSOR_NAMES[kind] for kind in kinds}
        if config.get("mtp_num_hidden_layers"):  # llama.cpp has them in every architecture
            known |= {name for name in constants.TENSOR_NAMES.values() if ".nextn." in name}
        for source in family.tensor_map(blueprint, "gguf").values():
            for stored in stored_names(source):
                stem = re.sub(r"blk\.\d+", "blk.{bid}", re.sub(r"\.(weight|bias)$", "", stored))
                assert stem in known, stored


@pytest.mark.heavy
def test_keys_are_those_of_the_gguf_package():
    constants = pytest.importorskip("gguf.constants")
    keys = constants.Keys
    known = {
        value
        for section in (
            keys.General,
            keys.LLM,
            keys.Attention,
            keys.Rope,
            keys.Tokenizer,
            keys.SSM,
            keys.ShortConv,
            keys.WKV,
        )
        for value in vars(section).values()
        if isinstance(value, str)
    }
    for config in MODELS.values():
        metadata = families.for_hf(config).to_gguf(of_config(config))
        arch = metadata["general.architecture"]
        assert {key.replace(f"{arch}.", "{arch}.", 1) for key in metadata} <= known


def test_rotary_pairs_are_interleaved_in_gguf_for_llama_but_not_qwen():
    llama, qwen = of_config(SMALL["llama"]), of_config(SMALL["qwen2"])
    query = "blocks.0.attention.query.weight"
    stored = Rename("blk.0.attn_q.weight")
    assert families.for_blueprint(llama).tensor_map(llama, "gguf")[query] == Permuted(
        stored, 4, is_interleaved=False
    )
    key = families.for_blueprint(llama).tensor_map(llama, "gguf")["blocks.0.attention.key.weight"]
    assert key == Permuted(Rename("blk.0.attn_k.weight"), 2, is_interleaved=False)
    assert families.for_blueprint(qwen).tensor_map(qwen, "gguf")[query] == stored
    assert read(file_of(llama)).blocks[0].attention.position.is_interleaved
    assert not read(file_of(qwen)).blocks[0].attention.position.is_interleaved


def test_gemmas_norms_store_the_gain_in_gguf_and_gain_minus_one_in_hf():
    gemma = of_config(SMALL["gemma2"])
    name = "blocks.1.ffn_norm.weight"
    theirs = Rename("blk.1.ffn_norm.weight")
    assert families.for_blueprint(gemma).tensor_map(gemma, "gguf")[name] == Offset(theirs, -1.0)
    again = read(file_of(gemma))
    assert not again.final_norm.is_offset
    assert families.for_blueprint(again).tensor_map(again, "gguf")[name] == theirs
    hf = families.for_blueprint(again).tensor_map(again, "hf")[name]
    assert hf == Offset(Rename("model.layers.1.pre_feedforward_layernorm.weight"), 1.0)


def test_gemma3_derives_its_pattern_as_llama_cpp_does():
    file = file_of(of_config(SMALL["gemma3"]))
    assert "gemma3.attention.sliding_window_pattern" not in file.metadata
    del file.metadata["gemma3.rope.freq_base_swa"]  # older files lack it
    attentions = read(file).attentions
    assert [a.window for a in attentions] == [8] * 5 + [None, 8]
    assert [a.position.base for a in attentions] == [1e4] * 5 + [1e6, 1e4]
    file.metadata["gemma3.attention.sliding_window_pattern"] = 2
    assert [a.window for a in read(file).attentions] == [8, None] * 3 + [8]
    file.metadata["gemma3.attention.sliding_window"] = 0
    assert {(a.window, a.position.base) for a in read(file).attentions} == {(None, 1e6)}


def test_gemma3_27b_has_another_scale_in_gguf():
    file = file_of(of_config(SMALL["gemma3"] | {"num_hidden_layers": 62, "query_pre_attn_scalar": 8}))
    assert read(file).attention.score_scale == pytest.approx(8**-0.5)


def test_smollm3_stores_all_queries_and_keys_interleaved_as_llama_cpp_does():
    blueprint = of_config(SMALL["smollm3"])
    sources = families.for_blueprint(blueprint).tensor_map(blueprint, "gguf")
    assert blueprint.blocks[3].attention.position == NoPosition()
    assert sources["blocks.3.attention.key.weight"] == Permuted(Rename("blk.3.attn_k.weight"), 2, False)


def test_ministral3_stores_its_temperature_as_llama_cpp_does():
    file = file_of(of_config(SMALL["ministral3"]))
    assert file.metadata["mistral3.rope.scaling.yarn_log_multiplier"] == 1.0
    assert file.metadata["mistral3.attention.temperature_scale"] == 0.1
    assert read(file).attention.query_scale == QueryScale(0.1, 16384)
    del file.metadata["mistral3.rope.scaling.yarn_log_multiplier"]
    assert read(file).attention.position.attention_factor() == pytest.approx(0.1 * math.log(16) + 1)


def test_gemma4_stores_what_differs_by_block_as_llama_cpp_does():
    file = file_of(of_config(SMALL["gemma4"]))
    assert file.metadata["gemma4.attention.sliding_window_pattern"] == [True, True, False, True, False]
    assert file.metadata["gemma4.feed_forward_length"] == [48, 48, 48, 96, 96]
    assert file.arrays["rope_freqs.weight"].tolist() == [1.0] * 2 + [np.float32(1e30)] * 6
    assert [a.source for a in read(file).attentions] == [None, None, None, 1, 2]
    del file.metadata["gemma4.final_logit_softcapping"]  # llama.cpp assumes 30
    assert read(file).head.softcap == 30.0
    assert read(file_of(of_config(SMALL["gemma4-alone"]))).head.softcap is None


def test_gpt2s_query_key_and_value_are_fused_in_gguf():
    gpt2 = of_config(SMALL["gpt2"])
    sources = families.for_blueprint(gpt2).tensor_map(gpt2, "gguf")
    assert sources["blocks.1.attention.value.weight"] == Rows(Rename("blk.1.attn_qkv.weight"), 64, 96)
    assert sources["blocks.1.attention.key.bias"] == Rows(Rename("blk.1.attn_qkv.bias"), 32, 64)


def test_a_llama_file_with_experts_is_a_mixtral():
    file = file_of(of_config(SMALL["mixtral"]))
    assert file.metadata["general.architecture"] == "llama"
    assert read(file).family == "mixtral"


def test_llama3s_scaling_is_stored_as_a_tensor_of_factors():
    blueprint = of_config(PUBLISHED["llama-3.1-8b"])
    factors = families.for_blueprint(blueprint).gguf_tensors(blueprint)["rope_freqs.weight"]
    assert (len(factors), factors[0], factors[-1]) == (64, 1.0, pytest.approx(8.0))
    again = read(file_of(blueprint)).blocks[0].attention.position
    assert again.scaling == Llama3Scaling(8.0, 1.0, 4.0, 8192)
    file = file_of(blueprint)
    file.arrays["rope_freqs.weight"] = np.linspace(1, 3, 64, dtype=np.float32)
    rope = read(file).blocks[0].attention.position
    assert rope.scaling is None
    assert len(rope.frequency_factors) == 64


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_invalid_frequency_factors_fail_the_check(bad):
    file = file_of(of_config(PUBLISHED["llama-3.1-8b"]))
    file.arrays["rope_freqs.weight"][3] = bad
    with pytest.raises(BadInput, match="frequency_factors"):
        check(read(file))


def test_a_header_without_tensors_has_no_frequency_factors():
    file = file_of(of_config(PUBLISHED["llama-3.1-8b"]))
    file.paths = ()
    assert read(file).blocks[0].attention.position == Rope(500000.0, 128, is_interleaved=True)


def changed(name, **changes):
    file = file_of(of_config(SMALL[name]))
    file.metadata |= changes
    return file


REJECTED = {
    "of the architecture `lama`, which zeropoint cannot run yet; it runs bert, gemma2": changed(
        "llama", **{"general.architecture": "lama"}
    ),
    "of the architecture `mixtral`, which zeropoint cannot run yet": changed(
        "llama", **{"general.architecture": "mixtral"}
    ),
    "`llama.rope.scaling.type` is 'spiral'": changed("llama", **{"llama.rope.scaling.type": "spiral"}),
    "`llama.attention.value_length` is 4": changed("llama", **{"llama.attention.value_length": 4}),
    "`llama.vocab_size` is 95; the embedding has 96 rows": changed("llama", **{"llama.vocab_size": 95}),
    "`gemma3.attention.sliding_window_pattern` has 3 items; it must have one for each": changed(
        "gemma3", **{"gemma3.attention.sliding_window_pattern": [True, True, False]}
    ),
    "`gemma3.attention.sliding_window_pattern` is -1": changed(
        "gemma3", **{"gemma3.attention.sliding_window_pattern": -1}
    ),
    "`gemma3.attention.sliding_window` is -1": changed("gemma3", **{"gemma3.attention.sliding_window": -1}),
    "`mistral3.rope.scaling.original_context_length` is 0": changed(
        "ministral3", **{"mistral3.rope.scaling.original_context_length": 0}
    ),
    "`gemma4.attention.shared_kv_layers` is 4; it must be fewer": changed(
        "gemma4", **{"gemma4.attention.shared_kv_layers": 4}
    ),
    "`gemma4.attention.shared_kv_layers` is 5": changed("gemma4", **{"gemma4.attention.shared_kv_layers": 5}),
    "`gemma4.attention.value_length_swa` is 4; it must be the key length, 8": changed(
        "gemma4", **{"gemma4.attention.value_length_swa": 4}
    ),
    "`gemma4.feed_forward_length` has 2 items": changed("gemma4", **{"gemma4.feed_forward_length": [48, 48]}),
    "`gemma4.attention.sliding_window` is 0": changed("gemma4", **{"gemma4.attention.sliding_window": 0}),
    "`llama.block_count`": changed("llama", **{"llama.block_count": 0}),
}


@pytest.mark.parametrize("message", REJECTED)
def test_unsupported_values_are_rejected_by_name(message):
    with pytest.raises(BadModelFile) as error:
        read(REJECTED[message])
    assert message in str(error.value)


def test_each_layer_may_have_its_own_key_value_heads():
    file = changed("llama", **{"llama.attention.head_count_kv": [4, 2]})
    assert [block.attention.n_kv_heads for block in read(file).blocks] == [4, 2]
    blueprint = read(file)
    assert families.for_blueprint(blueprint).to_gguf(blueprint)["llama.attention.head_count_kv"] == [4, 2]


@pytest.mark.parametrize(
    ("kv_heads", "message"),
    [
        ([2], "has 1 items; it must have one for each of the 2 layers"),
        ([2, 5], "is 5 for layer 1; it must be 1 to 4"),
        ([2, 0], "is 0 for layer 1; it must be 1 to 4"),
    ],
)
def test_key_value_heads_that_do_not_fit_the_layers_are_rejected(kv_heads, message):
    with pytest.raises(BadModelFile, match=f"`llama.attention.head_count_kv` {message}"):
        read(changed("llama", **{"llama.attention.head_count_kv": kv_heads}))


def test_a_missing_embedding_is_reported():
    file = file_of(of_config(SMALL["llama"]))
    del file.tensors["token_embd.weight"]
    with pytest.raises(BadModelFile, match=r"token_embd\.weight is missing"):
        read(file)


def test_an_oversized_factor_tensor_is_not_read():
    file = file_of(of_config(PUBLISHED["llama-3.1-8b"]))
    file.tensors["rope_freqs.weight"].shape = (10**9,)
    with pytest.raises(BadModelFile, match="must have one item per rotary pair"):
        read(file)


def with_blocks(name, **changes):
    blueprint = of_config(SMALL[name])
    return replace(blueprint, blocks=tuple(replace(block, **changes) for block in blueprint.blocks))


INEXPRESSIBLE = {
    "blocks[0].attention.position.frequencies beyond": of_config(
        SMALL["llama"] | {"rope_scaling": {"type": "dynamic", "factor": 2.0}}
    ),
    "blocks[0].attention.scale is 0.5": of_config(SMALL["gemma3"] | {"query_pre_attn_scalar": 4}),
    "blocks[0].placement is 'post'": with_blocks("llama", placement="post"),
    "blocks[0].ffn is None": with_blocks("llama", ffn=None),
    "blocks[0].ffn.activation is 'gelu_tanh'": of_config(SMALL["bert"] | {"hidden_act": "gelu_new"}),
    "blocks[0].attention.position.max_distance is 64": of_config(
        SMALL["t5"] | {"relative_attention_max_distance": 64}
    ),
    "blocks[0].attention.window is 8": of_config(
        SMALL["qwen2"] | {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    ),
}


@pytest.mark.parametrize("message", INEXPRESSIBLE)
def test_metadata_that_cannot_express_the_blueprint_is_not_written(message):
    blueprint = INEXPRESSIBLE[message]
    family = families.for_blueprint(blueprint)
    with pytest.raises(BadInput) as error:
        family.to_gguf(blueprint)
    assert message in str(error.value)
