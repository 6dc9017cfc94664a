"""config.json of published models (PUBLISHED), and small ones of every family (SMALL)."""

from __future__ import annotations

LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def _llama(model_type, d_model, d_ff, n_layers, n_heads, n_kv_heads, n_vocab, n_ctx, **more):
    return {
        "model_type": model_type,
        "hidden_size": d_model,
        "intermediate_size": d_ff,
        "num_hidden_layers": n_layers,
        "num_attention_heads": n_heads,
        "num_key_value_heads": n_kv_heads,
        "vocab_size": n_vocab,
        "max_position_embeddings": n_ctx,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False,
        "rope_theta": 10000.0,
    } | more


GPT2 = {
    "model_type": "gpt2",
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-05,
    "n_ctx": 1024,
    "n_embd": 768,
    "n_head": 12,
    "n_layer": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
PHI2 = {
    "model_type": "phi",
    "hidden_act": "gelu_new",
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 32,
    "partial_rotary_factor": 0.4,
    "qk_layernorm": False,
    "rope_scaling": None,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "vocab_size": 51200,
}
GEMMA2 = {
    "model_type": "gemma2",
    "attention_bias": False,
    "attn_logit_softcapping": 50.0,
    "final_logit_softcapping": 30.0,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh",
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "max_position_embeddings": 8192,
    "num_attention_heads": 8,
    "num_hidden_layers": 26,
    "num_key_value_heads": 4,
    "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06,
    "rope_theta": 10000.0,
    "sliding_window": 4096,
    "vocab_size": 256000,
}


def _gemma3(d_model, d_ff, n_layers, n_heads, n_kv_heads, window, n_vocab, n_ctx, **more):
    return {
        "model_type": "gemma3_text",
        "attention_bias": False,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": d_model,
        "intermediate_size": d_ff,
        "max_position_embeddings": n_ctx,
        "num_attention_heads": n_heads,
        "num_hidden_layers": n_layers,
        "num_key_value_heads": n_kv_heads,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_local_base_freq": 10000.0,
        "rope_theta": 1000000.0,
        "sliding_window": window,
        "vocab_size": n_vocab,
    } | more


LINEAR_8 = {"rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
# The text part of a multimodal config; the other keys have transformers' defaults.
GEMMA3_4B = {
    "model_type": "gemma3_text",
    "hidden_size": 2560,
    "intermediate_size": 10240,
    "num_hidden_layers": 34,
    "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024,
}
BERT = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "hidden_act": "gelu",
    "hidden_size": 768,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "position_embedding_type": "absolute",
    "type_vocab_size": 2,
    "vocab_size": 30522,
}
T5 = {
    "model_type": "t5",
    "d_ff": 2048,
    "d_kv": 64,
    "d_model": 512,
    "layer_norm_epsilon": 1e-06,
    "n_positions": 512,
    "num_heads": 8,
    "num_layers": 6,
    "relative_attention_num_buckets": 32,
    "vocab_size": 32128,
}
MAMBA2_130M_BY_ITS_AUTHORS = {
    "d_model": 768,
    "d_intermediate": 0,
    "n_layer": 24,
    "vocab_size": 50277,
    "ssm_cfg": {"layer": "Mamba2"},
    "attn_layer_idx": [],
    "attn_cfg": {},
    "rms_norm": True,
    "residual_in_fp32": True,
    "fused_add_norm": True,
    "pad_vocab_size_multiple": 16,
    "tie_embeddings": True,
}
CODESTRAL_MAMBA = {
    "model_type": "mamba2",
    "hidden_size": 4096,
    "expand": 2,
    "num_heads": 128,
    "head_dim": 64,
    "state_size": 128,
    "n_groups": 8,
    "conv_kernel": 4,
    "num_hidden_layers": 64,
    "layer_norm_epsilon": 1e-05,
    "hidden_act": "silu",
    "use_conv_bias": True,
    "use_bias": False,
    "norm_before_gate": False,
    "rms_norm": True,
    "time_step_limit": [0.0, float("inf")],
    "vocab_size": 32768,
    "tie_word_embeddings": False,
}
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0800000429153442, 1.1100000143051147, 1.1399999856948853, *[2.0] * 45],
    "long_factor": [1.0299999713897705, 1.0499999523162842, 1.0499999523162842, *[64.0] * 45],
}


def _lfm2(d_model, block_ff_dim, n_layers, n_heads, attending, **more):
    return {
        "model_type": "lfm2",
        "block_ff_dim": block_ff_dim,
        "block_ffn_dim_multiplier": 1.0,
        "block_multiple_of": 256,
        "conv_L_cache": 3,
        "conv_bias": False,
        "full_attn_idxs": list(attending),
        "hidden_size": d_model,
        "max_position_embeddings": 128000,
        "norm_eps": 1e-05,
        "num_attention_heads": n_heads,
        "num_hidden_layers": n_layers,
        "num_key_value_heads": 8,
        "rope_theta": 1000000.0,
        "vocab_size": 65536,
    } | more


PUBLISHED = {
    "gpt2": GPT2,
    "llama-2-7b": _llama("llama", 4096, 11008, 32, 32, 32, 32000, 4096),
    "llama-3.1-8b": _llama(
        "llama", 4096, 14336, 32, 32, 8, 128256, 131072, rope_theta=500000.0, rope_scaling=LLAMA3_ROPE
    ),
    "smollm2-135m": _llama(
        "llama", 576, 1536, 30, 9, 3, 49152, 8192, rope_theta=100000, tie_word_embeddings=True, mlp_bias=False
    ),
    "mistral-7b-v0.1": _llama("mistral", 4096, 14336, 32, 32, 8, 32000, 32768, sliding_window=4096),
    "mistral-7b-v0.3": _llama(
        "mistral", 4096, 14336, 32, 32, 8, 32768, 32768, sliding_window=None, head_dim=128, rope_theta=1e6
    ),
    "mixtral-8x7b": _llama(
        "mixtral",
        *(4096, 14336, 32, 32, 8, 32000, 32768),
        num_experts_per_tok=2,
        num_local_experts=8,
        rope_theta=1e6,
        sliding_window=None,
    ),
    "qwen2-0.5b": _llama(
        "qwen2",
        *(896, 4864, 24, 14, 2, 151936, 131072),
        max_window_layers=24,
        sliding_window=131072,
        use_sliding_window=False,
        tie_word_embeddings=True,
        rms_norm_eps=1e-06,
        rope_theta=1e6,
    ),
    "qwen3-0.6b": _llama(
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
    "phi-3-mini-4k": _llama(
        "phi3",
        *(3072, 8192, 32, 32, 32, 32064, 4096),
        sliding_window=2047,
        original_max_position_embeddings=4096,
        rope_scaling=None,
    ),
    "phi-3-mini-128k": _llama(
        "phi3",
        *(3072, 8192, 32, 32, 32, 32064, 131072),
        sliding_window=262144,
        original_max_position_embeddings=4096,
        rope_scaling=LONGROPE,
    ),
    "gemma-2-2b": GEMMA2,
    "gemma-3-270m": _gemma3(640, 2048, 18, 4, 1, 512, 262144, 32768),
    "gemma-3-1b": _gemma3(1152, 6912, 26, 4, 1, 512, 262144, 32768, sliding_window_pattern=6),
    "gemma-3-4b": GEMMA3_4B,
    "gemma-3-12b": _gemma3(3840, 15360, 48, 16, 8, 1024, 262208, 131072, **LINEAR_8),
    "gemma-3-27b": _gemma3(
        *(5376, 21504, 62, 32, 16, 1024, 262208, 131072),
        head_dim=128,
        query_pre_attn_scalar=168,
        **LINEAR_8,
    ),
    "mamba2-130m": CODESTRAL_MAMBA
    | {
        "hidden_size": 768,
        "num_heads": 24,
        "n_groups": 1,
        "num_hidden_layers": 24,
        "vocab_size": 50288,
        "tie_word_embeddings": True,
    },
    "codestral-mamba": CODESTRAL_MAMBA,
    "bert-base": BERT,
    "t5-small": T5,
    "lfm2-350m": _lfm2(1024, 6656, 16, 16, (2, 5, 8, 10, 12, 14)),
    "lfm2-700m": _lfm2(1536, 10240, 16, 24, (2, 5, 8, 10, 12, 14)),
    "lfm2-1.2b": _lfm2(2048, 12288, 16, 32, (2, 5, 8, 10, 12, 14)),
    "lfm2-2.6b": _lfm2(2048, 16128, 30, 32, (2, 5, 9, 13, 17, 21, 24, 27)),
}

_TINY = (32, 64, 2, 4, 2, 96, 64)
SMALL = {
    "llama": _llama("llama", *_TINY),
    "llama-biased-tied": _llama("llama", *_TINY, attention_bias=True, tie_word_embeddings=True),
    "llama-yarn": _llama(
        "llama",
        *_TINY,
        rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16},
    ),
    "llama-wide-heads": _llama("llama", *_TINY, head_dim=16),
    "mistral": _llama("mistral", *_TINY, sliding_window=8),
    "mixtral": _llama("mixtral", *_TINY, num_local_experts=4, num_experts_per_tok=2),
    "qwen2": _llama("qwen2", *_TINY),
    "qwen3": _llama("qwen3", *_TINY, head_dim=16, tie_word_embeddings=True),
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
    "phi3": _llama("phi3", *_TINY, pad_token_id=0),
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
    "gemma3": _gemma3(32, 64, 7, 4, 2, 8, 96, 64, head_dim=16, query_pre_attn_scalar=16),
    "gemma3-other-pattern": _gemma3(
        *(32, 64, 4, 4, 2, 8, 96, 64),
        head_dim=16,
        query_pre_attn_scalar=16,
        layer_types=["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
        rope_scaling={"rope_type": "linear", "factor": 8.0},
    ),
    "lfm2": _lfm2(32, 48, 3, 4, (1,), num_key_value_heads=2, vocab_size=96, block_multiple_of=16),
    "mamba2": CODESTRAL_MAMBA
    | {
        "hidden_size": 32,
        "num_heads": 8,
        "head_dim": 8,
        "state_size": 16,
        "n_groups": 2,
        "num_hidden_layers": 2,
        "vocab_size": 96,
        "use_bias": True,
    },
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
