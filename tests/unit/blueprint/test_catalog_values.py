"""Values of the catalogue that parameter counts do not reveal, compared with their publications.

These tables were written from the sources, not from the TOML files.
"""

import math
from dataclasses import asdict, dataclass, replace

import pytest

from tests.unit.families.base_configs import PHI4_LONG_FACTOR
from zeropoint.blueprint import catalog
from zeropoint.blueprint.parts.ffn import ChannelMix, MixtureOfExperts
from zeropoint.blueprint.parts.position import (
    LinearScaling,
    Llama3Scaling,
    LongRopeScaling,
    ProportionalScaling,
    RelativeBias,
    Rope,
    RopeScaling,
    YarnScaling,
)

LITGPT = "Lightning-AI/litgpt, litgpt/config.py"


@dataclass(frozen=True)
class Published:
    """Published values. source: repository and file. base, scaling, rotated: of the blocks without a window.
    windows: sliding windows of the first blocks, which repeat. local_base: base of the blocks with a window,
    if another. scale: of the scores, None for 1/sqrt(d_head). caps: softcaps of the scores and of the
    logits."""

    source: str
    n_ctx: int
    eps: float
    base: float | None = None
    activation: str | None = "silu"
    scaling: RopeScaling | None = None
    rotated: float | None = None
    windows: tuple[int | None, ...] = (None, None)
    local_base: float | None = None
    scale: float | None = None
    caps: tuple[float | None, float | None] = (None, None)
    embedding_scale: float = 1.0
    head_scale: float = 1.0
    relative: tuple[int, int] | None = None


def rotary(source, n_ctx, eps, base, **more):
    return Published(source, n_ctx, eps, base, **({"rotated": 1.0} | more))


LLAMA_1 = rotary("tinygrad/tinygrad, examples/llama.py", 2048, 1e-6, 1e4)
LLAMA_2 = rotary(LITGPT, 4096, 1e-5, 1e4)
LLAMA_3 = rotary(LITGPT, 8192, 1e-5, 5e5)
LLAMA_31 = replace(LLAMA_3, n_ctx=131072, scaling=Llama3Scaling(8.0, 1.0, 4.0, 8192))
LLAMA_32 = replace(LLAMA_31, scaling=Llama3Scaling(32.0, 1.0, 4.0, 8192))
SMOLLM2 = rotary(LITGPT, 8192, 1e-5, 1e5)
QWEN3 = rotary(LITGPT, 40960, 1e-6, 1e6)
QWEN35 = rotary("ggml-org/llama.cpp, src/models/qwen35.cpp; config.json", 262144, 1e-6, 1e7, rotated=0.25)
# Attention, if a model has any, has no positions; a context of 2^20 stands for none.
MAMBA2 = Published(
    "state-spaces/mamba, mamba_ssm/modules/mamba2.py", 2**20, 1e-5, activation=None, windows=()
)
RWKV7 = Published(
    "fla-org/flash-linear-attention, fla/layers/rwkv7.py", 2**20, 1e-5, activation=None, windows=()
)
GRANITE_4 = Published(
    "ibm-granite/granite-4.0-language-models; published config.json",
    131072,
    1e-5,
    scale=0.0078125,
    embedding_scale=12.0,
    head_scale=1 / 6,
)
LFM2 = rotary("ggml-org/llama.cpp, src/models/lfm2.cpp; published config.json", 128000, 1e-5, 1e6)
GPT2 = Published("openai/gpt-2, src/model.py", 1024, 1e-5, activation="gelu_tanh")
NANO = Published("karpathy/nanoGPT", 256, 1e-5, activation="gelu")
ANNOTATED = Published("harvardnlp/annotated-transformer", 5000, 1e-6, activation="relu")
GEMMA_2 = rotary(
    "google/gemma_pytorch, gemma/config.py",
    8192,
    1e-6,
    1e4,
    activation="gelu_tanh",
    windows=(4096, None),
    scale=256**-0.5,
    caps=(50.0, 30.0),
)
GEMMA_3 = rotary(
    "google/gemma_pytorch, gemma/config.py",
    32768,
    1e-6,
    1e6,
    local_base=1e4,
    activation="gelu_tanh",
    windows=(512,) * 5 + (None,),
    scale=256**-0.5,
)
GEMMA_4 = replace(
    GEMMA_3,
    source="rasbt/LLMs-from-scratch, ch05/; huggingface/transformers, models/gemma4/",
    n_ctx=131072,
    scaling=ProportionalScaling(0.25),
    scale=1.0,
    caps=(None, 30.0),
)
MINISTRAL_3 = rotary(
    "huggingface/transformers, models/ministral3/",
    262144,
    1e-5,
    1e6,
    scaling=YarnScaling(16.0, 16384, 32.0, 1.0, 1.0),
)
GRANITE = rotary(
    "ggml-org/llama.cpp, conversion/granite.py",
    131072,
    1e-5,
    1e7,
    scale=1 / 64,
    embedding_scale=12.0,
    head_scale=1 / 8,
)
OLMO_2 = rotary(LITGPT, 4096, 1e-6, 5e5)
GPT_OSS = rotary(
    "openai/gpt-oss, gpt_oss/torch/model.py",
    131072,
    1e-5,
    150000.0,
    activation="gelu_sigmoid",
    windows=(128, None),
    scaling=YarnScaling(32.0, 4096, has_whole_pairs=False),
)
PHI4_SCALING = LongRopeScaling(
    (1.0,) * 48,
    tuple(map(float, PHI4_LONG_FACTOR)),
    4096,
    math.sqrt(1 + math.log(131072 / 4096) / math.log(4096)),
)

PUBLISHED = {
    "gpt2": GPT2,
    "gpt2-medium": GPT2,
    "gpt2-large": GPT2,
    "gpt2-xl": GPT2,
    "llama-7b": LLAMA_1,
    "llama-13b": LLAMA_1,
    "llama-33b": LLAMA_1,
    "llama-65b": replace(LLAMA_1, eps=1e-5),  # the only one of the four
    "llama-2-7b": LLAMA_2,
    "llama-2-13b": LLAMA_2,
    "llama-2-70b": LLAMA_2,
    "llama-3-8b": LLAMA_3,
    "llama-3.1-8b": LLAMA_31,
    "llama-3.1-70b": LLAMA_31,
    "llama-3.2-1b": LLAMA_32,
    "llama-3.2-3b": LLAMA_32,
    "smollm2-135m": SMOLLM2,
    "smollm2-360m": SMOLLM2,
    "smollm2-1.7b": replace(SMOLLM2, base=130000.0),
    "mistral-7b-v0.1": rotary(LITGPT, 32768, 1e-5, 1e4, windows=(4096, 4096)),
    "mixtral-8x7b": rotary(LITGPT, 32768, 1e-5, 1e6),
    "qwen2-0.5b": rotary("rwth-i6/i6_experiments, users/juanola/", 131072, 1e-6, 1e6),
    "qwen2-7b": rotary("VainF/Torch-Pruning, examples/LLMs/readme.md", 131072, 1e-6, 1e6),
    "qwen2.5-0.5b": rotary(LITGPT, 32768, 1e-6, 1e6),
    "qwen2.5-7b": rotary(LITGPT, 131072, 1e-6, 1e6),
    "qwen3-0.6b": QWEN3,
    "qwen3-8b": QWEN3,
    "phi-2": rotary(LITGPT, 2048, 1e-5, 1e4, rotated=0.4, activation="gelu_tanh"),
    "phi-3-mini-4k": rotary("NVIDIA/TensorRT-LLM, tests/", 4096, 1e-5, 1e4, windows=(2047, 2047)),
    "gemma-2-2b": replace(GEMMA_2, embedding_scale=2304**0.5),
    "gemma-2-9b": replace(GEMMA_2, embedding_scale=3584**0.5),
    "gemma-3-270m": replace(GEMMA_3, embedding_scale=640**0.5),
    "gemma-3-1b": replace(GEMMA_3, embedding_scale=1152**0.5),
    "gemma-3-4b": replace(
        GEMMA_3,
        n_ctx=131072,
        windows=(1024,) * 5 + (None,),
        scaling=LinearScaling(8.0),
        embedding_scale=2560**0.5,
    ),
    "qwen3.5-0.8b": QWEN35,
    "qwen3.5-2b": QWEN35,
    "qwen3.5-4b": QWEN35,
    **dict.fromkeys(("mamba2-130m", "mamba2-370m", "mamba2-780m", "mamba2-1.3b", "mamba2-2.7b"), MAMBA2),
    "granite-4.0-h-350m": replace(GRANITE_4, n_ctx=32768, scale=0.015625, head_scale=1 / 3),
    "granite-4.0-h-1b": GRANITE_4,
    "granite-4.0-h-micro": replace(GRANITE_4, scale=0.015625, head_scale=1 / 8),
    "granite-4.0-h-tiny": GRANITE_4,
    "granite-4.0-h-small": replace(GRANITE_4, head_scale=1 / 16),
    **dict.fromkeys(("rwkv7-0.1b", "rwkv7-0.4b", "rwkv7-1.5b", "rwkv7-2.9b"), RWKV7),
    "lfm2-350m": LFM2,
    "lfm2-700m": LFM2,
    "lfm2-1.2b": LFM2,
    "lfm2-2.6b": LFM2,
    "gemma-4-e2b": replace(GEMMA_4, windows=(512,) * 4 + (None,), embedding_scale=1536**0.5),
    "gemma-4-e4b": replace(GEMMA_4, embedding_scale=2560**0.5),
    "smollm3-3b": rotary("huggingface/transformers, models/smollm3/", 65536, 1e-6, 5e6),
    "ministral-3-3b": MINISTRAL_3,
    "ministral-3-8b": MINISTRAL_3,
    "phi-4-mini": rotary(LITGPT, 131072, 1e-5, 1e4, rotated=0.75, windows=(262144,), scaling=PHI4_SCALING),
    "granite-3.3-2b": GRANITE,
    "granite-3.3-8b": replace(GRANITE, scale=1 / 128, head_scale=1 / 16),
    "olmo-2-1b": OLMO_2,
    "olmo-2-7b": OLMO_2,
    "olmo-3-7b": rotary(
        "ggml-org/llama.cpp, conversion/olmo.py",
        65536,
        1e-6,
        5e5,
        windows=(4096,) * 3 + (None,),
        scaling=YarnScaling(8.0, 8192, attention_factor=0.1 * math.log(8) + 1),
    ),
    "qwen3-30b-a3b": QWEN3,
    "gpt-oss-20b": GPT_OSS,
    "gpt-oss-120b": GPT_OSS,
    "bert-base": Published("huggingface/transformers, models/bert/", 512, 1e-12, activation="gelu"),
    "t5-small": Published(
        "huggingface/transformers, models/t5/",
        512,
        1e-6,
        activation="relu",
        scale=1.0,
        head_scale=512**-0.5,
        relative=(32, 128),
    ),
    "transformer-base": replace(ANNOTATED, embedding_scale=512**0.5),
    "transformer-big": replace(ANNOTATED, embedding_scale=1024**0.5),
    "baby-gpt": NANO,
    "build-gpt": Published("karpathy/ng-video-lecture, gpt.py", 256, 1e-5, activation="relu"),
    "tiny-gpt": replace(NANO, n_ctx=64),
}

# (query heads, key/value heads), which parameter counts do not reveal: from the same sources.
HEADS = {
    "gpt2": (12, 12),
    "gpt2-medium": (16, 16),
    "gpt2-large": (20, 20),
    "gpt2-xl": (25, 25),
    "llama-7b": (32, 32),
    "llama-13b": (40, 40),
    "llama-33b": (52, 52),
    "llama-65b": (64, 64),
    "llama-2-7b": (32, 32),
    "llama-2-13b": (40, 40),
    "llama-2-70b": (64, 8),
    "llama-3-8b": (32, 8),
    "llama-3.1-8b": (32, 8),
    "llama-3.1-70b": (64, 8),
    "llama-3.2-1b": (32, 8),
    "llama-3.2-3b": (24, 8),
    "smollm2-135m": (9, 3),
    "smollm2-360m": (15, 5),
    "smollm2-1.7b": (32, 32),
    "mistral-7b-v0.1": (32, 8),
    "mixtral-8x7b": (32, 8),
    "qwen2-0.5b": (14, 2),
    "qwen2-7b": (28, 4),
    "qwen2.5-0.5b": (14, 2),
    "qwen2.5-7b": (28, 4),
    "qwen3-0.6b": (16, 8),
    "qwen3-8b": (32, 8),
    "phi-2": (32, 32),
    "phi-3-mini-4k": (32, 32),
    "gemma-2-2b": (8, 4),
    "gemma-2-9b": (16, 8),
    "gemma-3-270m": (4, 1),
    "gemma-3-1b": (4, 1),
    "gemma-3-4b": (8, 4),
    "gemma-4-e2b": (8, 1),
    "gemma-4-e4b": (8, 2),
    "smollm3-3b": (16, 4),
    "ministral-3-3b": (32, 8),
    "ministral-3-8b": (32, 8),
    "qwen3.5-0.8b": (8, 2),
    "qwen3.5-2b": (8, 2),
    "qwen3.5-4b": (16, 4),
    **dict.fromkeys(("mamba2-130m", "mamba2-370m", "mamba2-780m", "mamba2-1.3b", "mamba2-2.7b")),
    "granite-4.0-h-350m": (12, 4),
    "granite-4.0-h-1b": (12, 4),
    "granite-4.0-h-micro": (32, 8),
    "granite-4.0-h-tiny": (12, 4),
    "granite-4.0-h-small": (32, 8),
    **dict.fromkeys(("rwkv7-0.1b", "rwkv7-0.4b", "rwkv7-1.5b", "rwkv7-2.9b")),
    "lfm2-350m": (16, 8),
    "lfm2-700m": (24, 8),
    "lfm2-1.2b": (32, 8),
    "lfm2-2.6b": (32, 8),
    "phi-4-mini": (24, 8),
    "granite-3.3-2b": (32, 8),
    "granite-3.3-8b": (32, 8),
    "olmo-2-1b": (16, 16),
    "olmo-2-7b": (32, 32),
    "olmo-3-7b": (32, 32),
    "qwen3-30b-a3b": (32, 4),
    "gpt-oss-20b": (64, 8),
    "gpt-oss-120b": (64, 8),
    "bert-base": (12, 12),
    "t5-small": (8, 8),
    "transformer-base": (8, 8),
    "transformer-big": (16, 16),
    "baby-gpt": (6, 6),
    "build-gpt": (6, 6),
    "tiny-gpt": (4, 4),
}


def test_every_entry_is_in_the_tables():
    assert set(PUBLISHED) == set(HEADS) == set(catalog.names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_values_match_the_publication(name):
    expected = asdict(PUBLISHED[name])
    expected.pop("source")
    assert values_of(catalog.load(name), len(expected["windows"])) == expected


@pytest.mark.parametrize("name", HEADS)
def test_head_counts_match_the_publication(name):
    b = catalog.load(name)
    attentions = [block.attention for block in (*b.blocks, *b.encoder) if block.attention]
    assert only(((a.n_heads, a.n_kv_heads) for a in attentions), is_optional=True) == HEADS[name]


def values_of(b, period):
    """The values of `Published` in a blueprint, each equal in all blocks of a kind."""
    blocks = (*b.blocks, *b.encoder)
    attentions = [block.attention for block in blocks if block.attention]
    attentions += [block.cross_attention for block in blocks if block.cross_attention]
    norms = [block.norm for block in blocks] + [b.final_norm, b.encoder_norm, b.embedding.norm]
    norms += [a.query_key_norm for a in attentions]
    ropes = {a.window is None: set() for a in attentions}
    for a in attentions:
        if isinstance(a.position, Rope):
            ropes[a.window is None].add(a.position)
    found = [only(of_kind) for of_kind in ropes.values() if of_kind]
    rope = only(ropes[True]) if ropes.get(True) else found[0] if found else None
    tables = [a.position for a in attentions if isinstance(a.position, RelativeBias)]
    windows = tuple(attention.window for attention in b.attentions)
    assert windows == tuple(windows[i % period] for i in range(len(windows)))
    return {
        "n_ctx": b.n_ctx,
        "eps": only(norm.eps for norm in norms if norm is not None),
        "base": rope and rope.base,
        "activation": only(activation(block.ffn) for block in blocks),
        "scaling": rope and rope.scaling and asdict(rope.scaling),
        "rotated": rope and rope.n_rotated / max(a.d_head for a in attentions),
        "windows": windows[:period],
        "local_base": next((r.base for r in found if r.base != rope.base), None),
        "scale": only((a.scale for a in attentions), is_optional=True),
        "caps": (only((a.softcap for a in attentions), is_optional=True), b.head.softcap),
        "embedding_scale": b.embedding.scale,
        "head_scale": b.head.scale,
        "relative": only((t.n_buckets, t.max_distance) for t in tables) if tables else None,
    }


def activation(ffn):
    if ffn is None or isinstance(ffn, ChannelMix):
        return None
    return (ffn.expert if isinstance(ffn, MixtureOfExperts) else ffn).activation


def only(values, is_optional=False):
    found = set(values)
    if is_optional and not found:
        return None
    (value,) = found
    return value
