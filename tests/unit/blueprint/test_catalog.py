"""Exact parameter counts of the catalogue, and those of the transformers library."""

import pytest

from zeropoint import families
from zeropoint.blueprint import catalog
from zeropoint.blueprint.cost import count_active_parameters, count_parameters
from zeropoint.blueprint.tensors import parameters
from zeropoint.errors import BadInput

# The first group is published to the last digit. The others are computed from each entry's sizes and
# confirmed by transformers below.
COUNTS = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-2-7b": 6_738_415_616,
    "llama-3-8b": 8_030_261_248,
    "smollm2-135m": 134_515_008,
    "qwen2-0.5b": 494_032_768,
    "qwen3-0.6b": 596_049_920,
    "phi-2": 2_779_683_840,
    "phi-3-mini-4k": 3_821_079_552,
    "gemma-2-2b": 2_614_341_888,
    "mixtral-8x7b": 46_702_792_704,
    "phi-4-mini": 3_836_021_760,
    "olmo-2-1b": 1_484_916_736,
    "olmo-2-7b": 7_298_617_344,
    "t5-small": 60_506_624,
    "rwkv7-0.1b": 191_034_624,
    "rwkv7-0.4b": 450_767_872,
    "rwkv7-1.5b": 1_527_404_544,
    "rwkv7-2.9b": 2_947_735_040,
    "build-gpt": 10_788_929,
    # derived
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "mistral-7b-v0.1": 7_241_732_096,
    "qwen2-7b": 7_615_616_512,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-8b": 8_190_735_360,
    "gemma-2-9b": 9_241_705_984,
    "gemma-3-270m": 268_098_176,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 3_880_263_168,
    "gemma-4-e2b": 4_628_569_379,
    "gemma-4-e4b": 7_463_013_418,
    "smollm3-3b": 3_075_098_624,
    "ministral-3-3b": 3_429_006_336,
    "ministral-3-8b": 8_489_553_920,
    "qwen3.5-0.8b": 752_393_024,
    "qwen3.5-2b": 1_881_825_088,
    "qwen3.5-4b": 4_205_751_296,
    "mamba2-130m": 128_989_632,
    "mamba2-370m": 368_346_624,
    "mamba2-780m": 780_161_280,
    "mamba2-1.3b": 1_343_757_312,
    "mamba2-2.7b": 2_702_599_680,
    "granite-4.0-h-350m": 340_332_224,
    "granite-4.0-h-1b": 1_461_538_368,
    "granite-4.0-h-micro": 3_191_396_096,
    "granite-4.0-h-tiny": 6_939_037_248,
    "granite-4.0-h-small": 32_207_337_984,
    "lfm2-350m": 354_483_968,
    "lfm2-700m": 742_489_344,
    "lfm2-1.2b": 1_170_340_608,
    "lfm2-2.6b": 2_569_272_320,
    "granite-3.3-2b": 2_533_539_840,
    "granite-3.3-8b": 8_170_864_640,
    "olmo-3-7b": 7_298_011_136,
    "qwen3-30b-a3b": 30_532_122_624,
    "gpt-oss-20b": 20_914_757_184,  # 20.91B in table 1 of its model card
    "gpt-oss-120b": 116_829_156_672,  # 116.83B there
    "bert-base": 109_514_298,  # encoder 108,891,648, masked-language-model head 622,650
    "transformer-base": 63_045_632,  # 65 M in table 3, with a vocabulary of "about 37000"
    "transformer-big": 214_171_648,  # 213 M in table 3
    "baby-gpt": 10_745_088,  # nanoGPT prints 10.65M, without 98,304 for positions
    "tiny-gpt": 804_096,  # nanoGPT prints 0.80M, without 8,192 for positions
}


def test_every_entry_is_in_the_table():
    assert set(catalog.names()) == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_exact(name):
    assert count_parameters(catalog.load(name)) == COUNTS[name]


def test_mixtral_uses_a_quarter_of_its_weights_per_token():
    assert count_active_parameters(catalog.load("mixtral-8x7b")) == 12_879_925_248


def test_few_experts_are_active():
    """3.61B and 5.13B in gpt-oss's model card, which counts the head but not the embedding."""
    for name, active in (("gpt-oss-20b", 3_608_307_264), ("gpt-oss-120b", 5_132_849_472)):
        b = catalog.load(name)
        assert count_active_parameters(b) - b.n_vocab * b.d_model == active
    assert count_active_parameters(catalog.load("qwen3-30b-a3b")) == 3_353_032_704
    assert count_active_parameters(catalog.load("granite-4.0-h-tiny")) == 1_465_470_528  # 1B
    assert count_active_parameters(catalog.load("granite-4.0-h-small")) == 8_803_121_664  # 9B


def test_bert_counts_without_head_and_with_pooler():
    shapes = parameters(catalog.load("bert-base"))
    encoder = sum(_size(shape) for name, shape in shapes.items() if not name.startswith("head."))
    assert encoder == 108_891_648
    assert encoder + 768 * 768 + 768 == 109_482_240  # BertModel's pooler


def test_an_unknown_name_suggests_the_closest():
    with pytest.raises(BadInput, match=r"unknown blueprint `gpt-2`.*closest: gpt2"):
        catalog.load("gpt-2")


def published_names():
    others = ("transformer", "baby", "build", "tiny", "rwkv7")  # which transformers does not have
    return [name for name in COUNTS if not name.startswith(others)]


@pytest.mark.heavy
@pytest.mark.parametrize("name", published_names())
def test_transformers_counts_the_same(name):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    blueprint = catalog.load(name)
    config = families.for_blueprint(blueprint).to_hf(blueprint)
    architecture = config.pop("architectures")[0]
    hf_config = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        model = getattr(transformers, architecture)(hf_config)
    # transformers keeps Gemma 4's factor of each block's output outside the parameters.
    n_factors = sum(block.has_output_scale for block in blueprint.blocks)
    assert model.num_parameters() + n_factors == COUNTS[name]


def _size(shape):
    product = 1
    for n in shape:
        product *= n
    return product
