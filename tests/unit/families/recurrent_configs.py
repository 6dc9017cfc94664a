"""config.json of models with recurrences: published ones, and small ones of every family."""

from __future__ import annotations

__all__ = ["MAMBA2_130M_BY_ITS_AUTHORS", "PUBLISHED_RECURRENT", "SMALL_RECURRENT"]

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


def _granite4(d_model, d_shared, attending, n_layers, heads, mamba_heads, **more):
    """A Granite 4 of the type `granitemoehybrid`. attending: the layers with attention."""
    layers = ["attention" if i in attending else "mamba" for i in range(n_layers)]
    return {
        "model_type": "granitemoehybrid",
        "hidden_size": d_model,
        "intermediate_size": d_shared,
        "shared_intermediate_size": d_shared,
        "num_hidden_layers": n_layers,
        "num_attention_heads": heads[0],
        "num_key_value_heads": heads[1],
        "layer_types": layers,
        "position_embedding_type": "nope",
        "mamba_n_heads": mamba_heads[0],
        "mamba_d_head": mamba_heads[1],
        "mamba_d_state": 128,
        "mamba_n_groups": 1,
        "mamba_d_conv": 4,
        "mamba_expand": 2,
        "mamba_conv_bias": True,
        "mamba_proj_bias": False,
        "num_local_experts": 0,
        "embedding_multiplier": 12,
        "attention_multiplier": 0.0078125,
        "residual_multiplier": 0.22,
        "logits_scaling": 6,
        "attention_bias": False,
        "hidden_act": "silu",
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": True,
        "vocab_size": 100352,
    } | more


def _rwkv7(d_model, n_layers, n_vocab, ranks, **more):
    """ranks: of the decay, the rate, the value and the gate."""
    keys = ("decay_low_rank_dim", "a_low_rank_dim", "v_low_rank_dim", "gate_low_rank_dim")
    return (
        {
            "model_type": "rwkv7",
            "attn": None,
            "hidden_act": "sqrelu",
            "hidden_ratio": 4.0,
            "hidden_size": d_model,
            "head_dim": 64,
            "num_hidden_layers": n_layers,
            "norm_eps": 1e-05,
            "norm_bias": True,
            "norm_first": True,
            "value_dim": [d_model] * n_layers,
            "vocab_size": n_vocab,
            "tie_word_embeddings": False,
        }
        | dict(zip(keys, ranks, strict=True))
        | more
    )


_TENTHS = (5, 15, 25, 35)
PUBLISHED_RECURRENT = {
    "rwkv7-0.1b": _rwkv7(768, 12, 65536, ranks=(64, 64, 32, 128)),
    "rwkv7-0.4b": _rwkv7(1024, 24, 65536, ranks=(64, 64, 32, 128)),
    "rwkv7-1.5b": _rwkv7(2048, 24, 65536, ranks=(96, 96, 64, 256)),
    "rwkv7-2.9b": _rwkv7(2560, 32, 65536, ranks=(96, 96, 64, 320)),
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
    "granite-4.0-h-350m": _granite4(
        *(768, 2048, (10, 13, 17, 27), 32, (12, 4), (48, 32)),
        attention_multiplier=0.015625,
        residual_multiplier=0.246,
        logits_scaling=3,
        max_position_embeddings=32768,
    ),
    "granite-4.0-h-1b": _granite4(1536, 4096, _TENTHS, 40, (12, 4), (48, 64)),
    "granite-4.0-h-micro": _granite4(
        *(2048, 8192, _TENTHS, 40, (32, 8), (64, 64)), attention_multiplier=0.015625, logits_scaling=8
    ),
    "granite-4.0-h-tiny": _granite4(
        *(1536, 1024, _TENTHS, 40, (12, 4), (48, 64)),
        intermediate_size=512,
        num_local_experts=64,
        num_experts_per_tok=6,
    ),
    "granite-4.0-h-small": _granite4(
        *(4096, 1536, _TENTHS, 40, (32, 8), (128, 64)),
        intermediate_size=768,
        num_local_experts=72,
        num_experts_per_tok=10,
        logits_scaling=16,
    ),
}
SMALL_RECURRENT = {
    "rwkv7": _rwkv7(32, 2, 96, ranks=(6, 5, 4, 7), head_dim=8, norm_eps=8e-5, intermediate_size=64),
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
    "granitehybrid": _granite4(32, 64, (1,), 3, (4, 2), (8, 8), vocab_size=96, mamba_n_groups=2),
    "granitehybrid-experts": _granite4(
        *(32, 64, (2,), 3, (4, 2), (4, 16)),
        vocab_size=96,
        intermediate_size=24,
        num_local_experts=4,
        num_experts_per_tok=2,
        attention_bias=True,
        position_embedding_type="rope",
        tie_word_embeddings=False,
    ),
    "granite4": _granite4(
        *(32, 64, (0, 1), 2, (4, 2), (1, 64)), vocab_size=96, position_embedding_type="rope"
    ),
}
