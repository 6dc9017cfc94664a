"""Small configurations of every family, to compare with transformers, llama.cpp and the native engine."""

from __future__ import annotations

from typing import Any

__all__ = ["CASES", "V"]

V = 61

_LLAMA = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_FULL = {"num_key_value_heads": 4}
_TIED = {"tie_word_embeddings": True}
_GPT2 = {"vocab_size": V, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_GPT2 |= {"bos_token_id": 1, "eos_token_id": 2}
_GEMMA2 = {**_LLAMA, **_TIED, "head_dim": 16, "query_pre_attn_scalar": 24, "sliding_window": 64}
_GEMMA4 = {
    **_LLAMA,
    **_TIED,
    "num_hidden_layers": 5,
    "layer_types": [f"{kind}_attention" for kind in ("sliding", "sliding", "full", "sliding", "full")],
    "head_dim": 8,
    "global_head_dim": 16,
    "num_kv_shared_layers": 2,
    "use_double_wide_mlp": True,
    "hidden_size_per_layer_input": 6,
    "vocab_size_per_layer_input": V,
    "sliding_window": 64,
}
_GEMMA3 = {**_GEMMA2, "num_hidden_layers": 7}
_PHI = {**_LLAMA, **_FULL, "partial_rotary_factor": 0.5}
_LFM2 = {**_LLAMA, "num_hidden_layers": 3, "block_auto_adjust_ff_dim": False, "block_multiple_of": 8}
_MAMBA2 = {
    "vocab_size": V,
    "hidden_size": 32,
    "num_heads": 8,
    "head_dim": 8,
    "state_size": 16,
    "n_groups": 1,
    "num_hidden_layers": 2,
    "chunk_size": 8,
    "pad_token_id": 0,
}
_QWEN35 = {
    **_LLAMA,
    "num_hidden_layers": 4,
    "head_dim": 16,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}


def rope(kind: str, **values: Any) -> dict[str, Any]:
    return {"rope_parameters": {"rope_type": kind, "rope_theta": 10000.0, **values}}


_ORIGINAL = {"original_max_position_embeddings": 16}
_LLAMA3 = rope("llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, **_ORIGINAL)
_SHORT, _LONG = [1.0, 1.1, 1.2, 1.5], [1.0, 2.0, 4.0, 8.0]
_LONGROPE = rope("longrope", short_factor=_SHORT, long_factor=_LONG, **_ORIGINAL)
_MINISTRAL_ROPE = rope(
    "yarn",
    factor=4.0,
    beta_fast=32.0,
    beta_slow=1.0,
    mscale=1.0,
    mscale_all_dim=1.0,
    llama_4_scaling_beta=0.3,
    original_max_position_embeddings=5,
)
_EIGHT_LAYERS = {"num_hidden_layers": 8, "max_window_layers": 3}

_PHI4 = {
    **_LLAMA,
    **_TIED,
    **_ORIGINAL,
    **rope("longrope", short_factor=[1.0, 1.1, 1.2], long_factor=[1.0, 2.0, 4.0], **_ORIGINAL),
}
_PHI4["rope_parameters"] = {**_PHI4["rope_parameters"], "partial_rotary_factor": 0.75}
_GRANITE = {
    **_LLAMA,
    **_TIED,
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
    "residual_multiplier": 0.6,
    "logits_scaling": 2.0,
}
_EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
_OLMO3 = {**_LLAMA, "num_hidden_layers": 4, "sliding_window": 6}
_OLMO3_YARN = rope("yarn", factor=4.0, **_ORIGINAL)["rope_parameters"]
_GPT_OSS = {
    **_LLAMA,
    "head_dim": 16,
    "sliding_window": 6,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "swiglu_limit": 1.5,  # reached by these weights
}
_GPT_OSS_YARN = rope(
    "yarn",
    factor=4.0,
    truncate=False,
    beta_fast=4.0,
    beta_slow=0.5,
    original_max_position_embeddings=64,
)

CASES: dict[str, dict[str, dict[str, Any]]] = {
    "gpt2": {
        "plain": _GPT2,
        "one head, wide": {**_GPT2, "n_head": 1, "n_inner": 40, "layer_norm_epsilon": 1e-3},
        "relu, untied": {**_GPT2, "activation_function": "relu", "tie_word_embeddings": False},
    },
    "llama": {
        "grouped": _LLAMA,
        "full, tied": {**_LLAMA, **_FULL, **_TIED},
        "one key": {**_LLAMA, "num_key_value_heads": 1, "rms_norm_eps": 1e-3},
        "wide heads": {**_LLAMA, "head_dim": 16, **rope("default", rope_theta=5e5)},
        "linear": {**_LLAMA, **rope("linear", factor=4.0)},
        "dynamic": {**_LLAMA, **rope("dynamic", factor=4.0), "max_position_embeddings": 8},
        "yarn": {**_LLAMA, **rope("yarn", factor=4.0, **_ORIGINAL)},
        "yarn, factor given": {
            **_LLAMA,
            **rope("yarn", factor=4.0, attention_factor=1.3, beta_fast=16.0, beta_slow=2.0, **_ORIGINAL),
        },
        "llama3": {**_LLAMA, **_LLAMA3, **_TIED},
    },
    "mistral": {
        "no window": {**_LLAMA, "sliding_window": None},
        "window": {**_LLAMA, "sliding_window": 6},
        "window, full heads": {**_LLAMA, **_FULL, "sliding_window": 3, "head_dim": 16},
    },
    "qwen2": {
        "grouped": _LLAMA,
        "full, tied": {**_LLAMA, **_FULL, **_TIED},
        "window": {**_LLAMA, **_EIGHT_LAYERS, "use_sliding_window": True, "sliding_window": 6},
        "yarn": {**_LLAMA, **rope("yarn", factor=4.0, **_ORIGINAL)},
    },
    "qwen3": {
        "grouped, tied": {**_LLAMA, **_TIED, "head_dim": 16},
        "full": {**_LLAMA, **_FULL, "head_dim": 8},
        "yarn": {**_LLAMA, "head_dim": 16, **rope("yarn", factor=2.0, **_ORIGINAL)},
    },
    "phi": {
        "half rotated": _PHI,
        "grouped": {**_PHI, "num_key_value_heads": 2, "hidden_act": "gelu_new"},
        "linear": {**_PHI, **rope("linear", factor=2.0, partial_rotary_factor=0.5)},
    },
    "phi3": {
        "full": {**_LLAMA, **_FULL, "sliding_window": None},
        "grouped, window": {**_LLAMA, "sliding_window": 6},
        "longrope, beyond": {**_LLAMA, **_LONGROPE, **_ORIGINAL},
        "longrope, within": {**_LLAMA, **_LONGROPE, "original_max_position_embeddings": 32}
        | rope("longrope", short_factor=_SHORT, long_factor=_LONG, original_max_position_embeddings=32),
        "phi4, beyond": _PHI4,
        "phi4, within": {
            **_PHI4,
            "original_max_position_embeddings": 32,
            "rope_parameters": {**_PHI4["rope_parameters"], "original_max_position_embeddings": 32},
        },
    },
    "granite": {
        "tied": _GRANITE,
        "untied, biased": {
            **_GRANITE,
            "tie_word_embeddings": False,
            "attention_bias": True,
            "mlp_bias": True,
        },
    },
    "olmo2": {
        "grouped": _LLAMA,
        "full, yarn": {**_LLAMA, **_FULL, **rope("yarn", factor=4.0, **_ORIGINAL)},
    },
    "olmo3": {
        "plain": _OLMO3,
        "yarn in full blocks": {
            **_OLMO3,
            "rope_parameters": {
                "full_attention": _OLMO3_YARN,
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
        "another pattern": {**_OLMO3, "layer_types": ["full_attention", "sliding_attention"] * 2},
        "two bases": {
            **_OLMO3,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 1e6},
                "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
            },
        },
    },
    "qwen3_moe": {
        "grouped": {**_LLAMA, **_EXPERTS, "head_dim": 16, "norm_topk_prob": True},
        "probabilities as they are": {**_LLAMA, **_EXPERTS, "norm_topk_prob": False},
        "some blocks dense": {**_LLAMA, **_EXPERTS, "num_hidden_layers": 4, "mlp_only_layers": [2]},
    },
    "gpt_oss": {
        "yarn": {**_GPT_OSS, **_GPT_OSS_YARN},
        "yarn, limits at whole pairs": {**_GPT_OSS, **rope("yarn", factor=4.0, truncate=False, **_ORIGINAL)},
        "yarn, whole pairs": {
            **_GPT_OSS,
            "rope_parameters": {**_GPT_OSS_YARN["rope_parameters"], "truncate": True},
        },
        "plain, another pattern": {
            **_GPT_OSS,
            **rope("default"),
            "layer_types": ["full_attention", "sliding_attention"],
        },
    },
    "gemma2": {
        "plain": _GEMMA2,
        "window": {**_GEMMA2, "sliding_window": 6, "num_hidden_layers": 4},
        "low caps": {**_GEMMA2, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
        "no caps": {**_GEMMA2, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    },
    "gemma3_text": {
        "plain": _GEMMA3,
        "window": {**_GEMMA3, "sliding_window": 6, "final_logit_softcapping": 3.0},
        "other pattern, scaled": {
            **_GEMMA3,
            "sliding_window": 4,
            "num_hidden_layers": 4,
            "layer_types": ["sliding_attention", "full_attention", "full_attention", "sliding_attention"],
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5e5},
                "sliding_attention": {"rope_type": "default", "rope_theta": 2e4},
            },
        },
    },
    "qwen3_5_text": {
        "every fourth": _QWEN35,
        "grouped heads, tied": {
            **_QWEN35,
            **_TIED,
            "linear_num_value_heads": 6,
            "linear_value_head_dim": 6,
            "layer_types": ["linear_attention", "full_attention", "linear_attention", "full_attention"],
            "linear_conv_kernel_dim": 3,
        },
        "six value heads": {**_QWEN35, "linear_num_value_heads": 6, "full_attention_interval": 2},
    },
    "lfm2": {
        "one attention": {**_LFM2, "layer_types": ["conv", "full_attention", "conv"]},
        "biased, wide kernel": {
            **_LFM2,
            "layer_types": ["conv", "conv", "full_attention"],
            "conv_bias": True,
            "conv_L_cache": 5,
        },
        "adjusted width": {**_LFM2, "full_attn_idxs": [0, 2], "block_auto_adjust_ff_dim": True},
    },
    "gemma4_text": {
        "shared, double": _GEMMA4,
        "own, even heads": {**_GEMMA4, "num_kv_shared_layers": 0, "global_head_dim": 8, "head_dim": 8},
        "window, capped": {**_GEMMA4, "sliding_window": 6, "final_logit_softcapping": 3.0},
        "no inputs": {**_GEMMA4, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0},
    },
    "smollm3": {
        "every fourth": {**_LLAMA, "num_hidden_layers": 5, "no_rope_layer_interval": 4},
        "listed, window, tied": {
            **_LLAMA,
            **_TIED,
            "num_hidden_layers": 3,
            "no_rope_layers": [0, 1, 1],
            "use_sliding_window": True,
            "sliding_window": 6,
        },
    },
    "ministral3": {
        "within": {**_LLAMA, "head_dim": 16},
        "beyond": {**_LLAMA, "head_dim": 16, **_MINISTRAL_ROPE},
        "window, tied": {**_LLAMA, **_TIED, "head_dim": 8, "sliding_window": 6, **_MINISTRAL_ROPE},
    },
    "mixtral": {
        "grouped": {**_LLAMA, "num_local_experts": 4, "num_experts_per_tok": 2},
        "full, one expert": {**_LLAMA, **_FULL, "num_local_experts": 3, "num_experts_per_tok": 1},
        "window, eight": {**_LLAMA, "num_local_experts": 8, "sliding_window": 6},
    },
}
CASES["mamba2"] = {
    "one group, tied": {**_MAMBA2, "tie_word_embeddings": True},
    "two groups": {**_MAMBA2, "n_groups": 2, "conv_kernel": 3, "layer_norm_epsilon": 1e-3},
    "biases": {**_MAMBA2, "n_groups": 8, "use_bias": True, "use_conv_bias": False},
    "narrow": {**_MAMBA2, "expand": 1, "num_heads": 2, "head_dim": 16, "state_size": 5},
}
_GRANITE4 = {
    **_LLAMA,
    **_TIED,
    "num_hidden_layers": 3,
    "layer_types": ["mamba", "attention", "mamba"],
    "shared_intermediate_size": 40,
    "num_local_experts": 0,
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 16,
    "embedding_multiplier": 3.0,
    "attention_multiplier": 0.2,
    "residual_multiplier": 0.4,
    "logits_scaling": 0.5,
}
CASES["granitemoehybrid"] = {
    "dense": _GRANITE4,
    "experts": {**_GRANITE4, "num_local_experts": 4, "num_experts_per_tok": 2, "intermediate_size": 24},
    "rope, groups": {**_GRANITE4, "position_embedding_type": "rope", "mamba_n_groups": 2},
    "attention alone": {
        **_GRANITE4,
        "layer_types": ["attention"] * 3,
        "position_embedding_type": "rope",
        "tie_word_embeddings": False,
    },
}
