"""config.json of every family in small sizes; `published_configs` has those of published models."""

from __future__ import annotations

from tests.unit.families.base_configs import (
    BERT,
    GEMMA2,
    GPT2,
    GPT_OSS_ROPE,
    MINISTRAL_ROPE,
    PHI2,
    T5,
    gemma3_config,
    gemma4_config,
    granite_config,
    lfm2_config,
    llama_config,
)
from tests.unit.families.qwen35_configs import SMALL_QWEN35
from tests.unit.families.recurrent_configs import SMALL_RECURRENT

__all__ = ["SMALL"]

_TINY = (32, 64, 2, 4, 2, 96, 64)
GEMMA4_SIZES = {
    "num_attention_heads": 4,
    "head_dim": 8,
    "global_head_dim": 16,
    "hidden_size_per_layer_input": 6,
    "vocab_size": 96,
    "vocab_size_per_layer_input": 96,
    "max_position_embeddings": 64,
    "sliding_window": 8,
    "use_double_wide_mlp": True,
}
GEMMA4_PLAIN = {
    "hidden_size_per_layer_input": 0,
    "final_logit_softcapping": None,
    "use_double_wide_mlp": False,
}
SMALL = {
    **SMALL_RECURRENT,
    **SMALL_QWEN35,
    "llama": llama_config("llama", *_TINY),
    "llama-biased-tied": llama_config("llama", *_TINY, attention_bias=True, tie_word_embeddings=True),
    "llama-yarn": llama_config(
        "llama",
        *_TINY,
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "llama-wide-heads": llama_config("llama", *_TINY, head_dim=16),
    "mistral": llama_config("mistral", *_TINY, sliding_window=8),
    "mixtral": llama_config("mixtral", *_TINY, num_local_experts=4, num_experts_per_tok=2),
    "qwen2": llama_config("qwen2", *_TINY),
    "qwen3": llama_config("qwen3", *_TINY, head_dim=16, tie_word_embeddings=True),
    "phi2": PHI2
    | {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 2,
        "vocab_size": 96,
        "partial_rotary_factor": 0.5,
    },
    "phi3": llama_config("phi3", *_TINY, pad_token_id=0),
    "phi4": llama_config(
        "phi3",
        *_TINY,
        pad_token_id=0,
        tie_word_embeddings=True,
        partial_rotary_factor=0.75,
        original_max_position_embeddings=16,
        rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.2], "long_factor": [1.0, 2.0, 4.0]},
    ),
    "granite": granite_config(*_TINY, logits=8.0),
    "granite-biased": granite_config(*_TINY, logits=3.0) | {"attention_bias": True, "mlp_bias": True},
    "olmo2": llama_config("olmo2", *_TINY),
    "olmo3": llama_config(
        "olmo3",
        *(32, 64, 4, 4, 2, 96, 64),
        sliding_window=8,
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "olmo3-odd": llama_config(
        "olmo3",
        *_TINY,
        sliding_window=8,
        layer_types=["full_attention", "sliding_attention"],
    ),
    "qwen3moe": llama_config(
        "qwen3_moe",
        *_TINY,
        head_dim=16,
        moe_intermediate_size=24,
        norm_topk_prob=True,
        num_experts=4,
        num_experts_per_tok=2,
    ),
    "gpt-oss": llama_config(
        "gpt_oss",
        *_TINY,
        head_dim=16,
        sliding_window=8,
        num_local_experts=4,
        num_experts_per_tok=2,
        rope_theta=150000.0,
        rope_scaling=GPT_OSS_ROPE | {"original_max_position_embeddings": 16, "factor": 4.0},
    ),
    "gemma2": GEMMA2
    | {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_hidden_layers": 4,
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "vocab_size": 96,
    },
    "gemma3": gemma3_config(32, 64, 7, 4, 2, 8, 96, 64, head_dim=16, query_pre_attn_scalar=16),
    "gemma3-other-pattern": gemma3_config(
        *(32, 64, 4, 4, 2, 8, 96, 64),
        head_dim=16,
        query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    "lfm2": lfm2_config(32, 48, 3, 4, (1,), num_key_value_heads=2, vocab_size=96, block_multiple_of=16),
    "gemma4": gemma4_config(32, 48, ["sliding", "sliding", "full", "sliding", "full"], 2, 2, **GEMMA4_SIZES),
    "gemma4-alone": gemma4_config(32, 48, ["sliding", "full"], 2, 0, **GEMMA4_SIZES | GEMMA4_PLAIN),
    "smollm3": llama_config("smollm3", 32, 64, 5, 4, 2, 96, 64, no_rope_layer_interval=4),
    "ministral3": llama_config("ministral3", *_TINY, head_dim=16, rope_parameters=MINISTRAL_ROPE),
    "ministral3-plain": llama_config("ministral3", *_TINY, head_dim=8, rope_parameters={"rope_theta": 1e4}),
    "gpt2": GPT2
    | {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 64, "n_ctx": 64, "vocab_size": 96},
    "bert": BERT
    | {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_attention_heads": 4,
        "num_hidden_layers": 2,
        "vocab_size": 96,
    },
    "t5": T5 | {"d_model": 32, "d_ff": 64, "d_kv": 4, "num_heads": 4, "num_layers": 2, "vocab_size": 96},
    "t5-gated-untied": T5
    | {
        "d_model": 32,
        "d_ff": 64,
        "num_layers": 2,
        "num_decoder_layers": 3,
        "vocab_size": 96,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    },
}
