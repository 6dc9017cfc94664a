"""config.json of published models."""

from __future__ import annotations

from tests.unit.families.base_configs import (
    BERT,
    GEMMA2,
    GEMMA3_4B,
    GPT2,
    LINEAR_8,
    LLAMA3_ROPE,
    LONGROPE,
    OLMO3_ROPE,
    PHI2,
    PHI4_ROPE,
    T5,
    _gpt_oss,
    gemma3_config,
    gemma4_config,
    granite_config,
    lfm2_config,
    llama_config,
    ministral3_config,
)
from tests.unit.families.qwen35_configs import PUBLISHED_QWEN35
from tests.unit.families.recurrent_configs import PUBLISHED_RECURRENT

__all__ = ["PUBLISHED"]

PUBLISHED = {
    **PUBLISHED_RECURRENT,
    **PUBLISHED_QWEN35,
    "gpt2": GPT2,
    "llama-2-7b": llama_config("llama", 4096, 11008, 32, 32, 32, 32000, 4096),
    "llama-3.1-8b": llama_config(
        "llama", 4096, 14336, 32, 32, 8, 128256, 131072, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE
    ),
    "smollm2-135m": llama_config(
        "llama", 576, 1536, 30, 9, 3, 49152, 8192, rope_theta=100000, tie_word_embeddings=True, mlp_bias=False
    ),
    "mistral-7b-v0.1": llama_config("mistral", 4096, 14336, 32, 32, 8, 32000, 32768, sliding_window=4096),
    "mistral-7b-v0.3": llama_config(
        "mistral", 4096, 14336, 32, 32, 8, 32768, 32768, sliding_window=None, head_dim=128, rope_theta=1e6
    ),
    "mixtral-8x7b": llama_config(
        "mixtral",
        *(4096, 14336, 32, 32, 8, 32000, 32768),
        num_experts_per_tok=2,
        num_local_experts=8,
        rope_theta=1e6,
        sliding_window=None,
    ),
    "qwen2-0.5b": llama_config(
        "qwen2",
        *(896, 4864, 24, 14, 2, 151936, 131072),
        max_window_layers=24,
        sliding_window=131072,
        use_sliding_window=False,
        tie_word_embeddings=True,
        rms_norm_eps=1e-06,
        rope_theta=1e6,
    ),
    "qwen3-0.6b": llama_config(
        "qwen3",
        *(1024, 3072, 28, 16, 8, 151936, 40960),
        head_dim=128,
        attention_bias=False,
        tie_word_embeddings=True,
        use_sliding_window=False,
        rms_norm_eps=1e-06,
        rope_theta=1000000,
    ),
    "phi-2": PHI2,
    "phi-3-mini-4k": llama_config(
        "phi3",
        *(3072, 8192, 32, 32, 32, 32064, 4096),
        sliding_window=2047,
        original_max_position_embeddings=4096,
        rope_scaling=None,
    ),
    "phi-3-mini-128k": llama_config(
        "phi3",
        *(3072, 8192, 32, 32, 32, 32064, 131072),
        sliding_window=262144,
        original_max_position_embeddings=4096,
        rope_scaling=LONGROPE,
    ),
    "phi-4-mini": llama_config(
        "phi3",
        *(3072, 8192, 32, 24, 8, 200064, 131072),
        sliding_window=262144,
        original_max_position_embeddings=4096,
        partial_rotary_factor=0.75,
        tie_word_embeddings=True,
        rope_scaling=PHI4_ROPE,
    ),
    "granite-3.3-2b": granite_config(
        *(2048, 8192, 40, 32, 8, 49159, 131072), logits=8.0, rope_theta=10000000.0
    ),
    "granite-3.3-8b": granite_config(
        *(4096, 12800, 40, 32, 8, 49159, 131072), logits=16.0, rope_theta=10000000.0
    )
    | {"attention_multiplier": 0.0078125},
    "olmo-2-1b": llama_config(
        "olmo2",
        *(2048, 8192, 16, 16, 16, 100352, 4096),
        rms_norm_eps=1e-06,
        rope_theta=500000,
        attention_bias=False,
    ),
    "olmo-2-7b": llama_config(
        "olmo2",
        *(4096, 11008, 32, 32, 32, 100352, 4096),
        rms_norm_eps=1e-06,
        rope_theta=500000,
        attention_bias=False,
    ),
    "olmo-3-7b": llama_config(
        "olmo3",
        *(4096, 11008, 32, 32, 32, 100278, 65536),
        rms_norm_eps=1e-06,
        rope_theta=500000,
        attention_bias=False,
        sliding_window=4096,
        layer_types=(["sliding_attention"] * 3 + ["full_attention"]) * 8,
        rope_scaling=OLMO3_ROPE,
    ),
    "qwen3-30b-a3b": llama_config(
        "qwen3_moe",
        *(2048, 6144, 48, 32, 4, 151936, 40960),
        head_dim=128,
        attention_bias=False,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        moe_intermediate_size=768,
        norm_topk_prob=True,
        num_experts=128,
        num_experts_per_tok=8,
        use_sliding_window=False,
        sliding_window=None,
        rms_norm_eps=1e-06,
        rope_theta=1000000.0,
    ),
    "gpt-oss-20b": _gpt_oss(24, 32),
    "gpt-oss-120b": _gpt_oss(36, 128),
    "gemma-2-2b": GEMMA2,
    "gemma-3-270m": gemma3_config(640, 2048, 18, 4, 1, 512, 262144, 32768),
    "gemma-3-1b": gemma3_config(1152, 6912, 26, 4, 1, 512, 262144, 32768, sliding_window_pattern=6),
    "gemma-3-4b": GEMMA3_4B,
    "gemma-3-12b": gemma3_config(3840, 15360, 48, 16, 8, 1024, 262208, 131072, **LINEAR_8),
    "gemma-3-27b": gemma3_config(
        *(5376, 21504, 62, 32, 16, 1024, 262208, 131072),
        head_dim=128,
        query_pre_attn_scalar=168,
        **LINEAR_8,
    ),
    "gemma-4-e2b": gemma4_config(
        *(1536, 6144, (["sliding"] * 4 + ["full"]) * 7, 1, 20),
        use_double_wide_mlp=True,
    ),
    "gemma-4-e4b": gemma4_config(2560, 10240, (["sliding"] * 5 + ["full"]) * 7, 2, 18),
    "smollm3-3b": llama_config(
        "smollm3",
        *(2048, 11008, 36, 16, 4, 128256, 65536),
        rope_theta=5000000.0,
        rms_norm_eps=1e-06,
        tie_word_embeddings=True,
        attention_bias=False,
        mlp_bias=False,
        no_rope_layers=[1, 1, 1, 0] * 9,
        use_sliding_window=False,
    ),
    "ministral-3-3b": ministral3_config(3072, 9216, 26, tie_word_embeddings=True),
    "ministral-3-8b": ministral3_config(4096, 14336, 34),
    "bert-base": BERT,
    "t5-small": T5,
    "lfm2-350m": lfm2_config(1024, 6656, 16, 16, (2, 5, 8, 10, 12, 14)),
    "lfm2-700m": lfm2_config(1536, 10240, 16, 24, (2, 5, 8, 10, 12, 14)),
    "lfm2-1.2b": lfm2_config(2048, 12288, 16, 32, (2, 5, 8, 10, 12, 14)),
    "lfm2-2.6b": lfm2_config(2048, 16128, 30, 32, (2, 5, 9, 13, 17, 21, 24, 27)),
}
