"""Parts of config.json that published models and the small ones of the tests share."""

from __future__ import annotations

LLAMA3_ROPE = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def llama_config(model_type, d_model, d_ff, n_layers, n_heads, n_kv_heads, n_vocab, n_ctx, **more):
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


def gemma3_config(d_model, d_ff, n_layers, n_heads, n_kv_heads, window, n_vocab, n_ctx, **more):
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
MINISTRAL_ROPE = {
    "rope_type": "yarn",
    "rope_theta": 1000000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}


def ministral3_config(d_model, d_ff, n_layers, **more):
    config = llama_config("ministral3", d_model, d_ff, n_layers, 32, 8, 131072, 262144, head_dim=128)
    return config | {"rope_parameters": MINISTRAL_ROPE, "rope_theta": None} | more


GEMMA4_ROPES = {
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25, "rope_theta": 1000000.0},
}


def gemma4_config(d_model, d_ff, layer_types, n_kv_heads, n_shared, **more):
    return {
        "model_type": "gemma4_text",
        "attention_bias": False,
        "attention_k_eq_v": False,
        "enable_moe_block": False,
        "final_logit_softcapping": 30.0,
        "global_head_dim": 512,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": d_model,
        "hidden_size_per_layer_input": 256,
        "intermediate_size": d_ff,
        "layer_types": [f"{kind}_attention" for kind in layer_types],
        "max_position_embeddings": 131072,
        "num_attention_heads": 8,
        "num_hidden_layers": len(layer_types),
        "num_key_value_heads": n_kv_heads,
        "num_kv_shared_layers": n_shared,
        "rms_norm_eps": 1e-06,
        "rope_parameters": GEMMA4_ROPES,
        "sliding_window": 512,
        "tie_word_embeddings": True,
        "use_double_wide_mlp": False,
        "vocab_size": 262144,
        "vocab_size_per_layer_input": 262144,
    } | more


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
LONGROPE = {
    "type": "longrope",
    "short_factor": [1.0800000429153442, 1.1100000143051147, 1.1399999856948853, *[2.0] * 45],
    "long_factor": [1.0299999713897705, 1.0499999523162842, 1.0499999523162842, *[64.0] * 45],
}


def lfm2_config(d_model, block_ff_dim, n_layers, n_heads, attending, **more):
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


PHI4_LONG_FACTOR = [
    *(1, 1.118320672, 1.250641126, 1.398617824, 1.564103225, 1.74916897, 1.956131817, 2.187582649),
    *(2.446418898, 2.735880826, 3.059592084, 3.421605075, 3.826451687, 4.279200023, 4.785517845, 5.351743533),
    *(5.984965424, 6.693110555, 7.485043894, 8.370679318, 9.36110372, 10.4687158, 11.70738129, 13.09260651),
    *(14.64173252, 16.37415215, 18.31155283, 20.47818807, 22.90118105, 25.61086418, 28.64115884, 32.03),
    *(32.1, 32.13, 32.23, 32.6, 32.61, 32.64, 32.66, 32.7, 32.71, 32.93, 32.97, 33.28, 33.49, 33.5, 44.16),
    47.77,
]
PHI4_ROPE = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": PHI4_LONG_FACTOR}
GPT_OSS_ROPE = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "original_max_position_embeddings": 4096,
    "truncate": False,
}
OLMO3_ROPE = {
    "rope_type": "yarn",
    "factor": 8.0,
    "original_max_position_embeddings": 8192,
    "attention_factor": 1.2079441541679836,
    "beta_fast": 32,
    "beta_slow": 1,
}


def granite_config(*sizes, logits, **more):
    """Granite 3.x: the multipliers that all sizes share."""
    shared = {"attention_bias": False, "mlp_bias": False, "embedding_multiplier": 12.0}
    shared |= {"attention_multiplier": 0.015625, "residual_multiplier": 0.22, "logits_scaling": logits}
    return llama_config("granite", *sizes, tie_word_embeddings=True, **shared, **more)


def _gpt_oss(n_layers, n_experts):
    kinds = ["sliding_attention", "full_attention"] * (n_layers // 2)
    return llama_config(
        "gpt_oss",
        *(2880, 2880, n_layers, 64, 8, 201088, 131072),
        head_dim=64,
        attention_bias=True,
        layer_types=kinds,
        num_local_experts=n_experts,
        num_experts_per_tok=4,
        sliding_window=128,
        swiglu_limit=7.0,
        rope_theta=150000,
        rope_scaling=GPT_OSS_ROPE,
    )
