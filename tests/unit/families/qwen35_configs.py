"""config.json of Qwen 3.5: published models, and small ones."""

from __future__ import annotations

__all__ = ["PUBLISHED_QWEN35", "SMALL_QWEN35"]


def _qwen35(d_model, d_ff, n_layers, n_heads, n_kv_heads, n_value_heads, n_vocab=248320, **more):
    """The `text_config` of a published model."""
    return {
        "model_type": "qwen3_5_text",
        "attention_bias": False,
        "attn_output_gate": True,
        "head_dim": 256,
        "hidden_act": "silu",
        "hidden_size": d_model,
        "intermediate_size": d_ff,
        "layer_types": [*["linear_attention"] * 3, "full_attention"] * (n_layers // 4),
        "linear_conv_kernel_dim": 4,
        "linear_key_head_dim": 128,
        "linear_num_key_heads": 16,
        "linear_num_value_heads": n_value_heads,
        "linear_value_head_dim": 128,
        "max_position_embeddings": 262144,
        "mtp_num_hidden_layers": 1,
        "mtp_use_dedicated_embeddings": False,
        "num_attention_heads": n_heads,
        "num_hidden_layers": n_layers,
        "num_key_value_heads": n_kv_heads,
        "rms_norm_eps": 1e-06,
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [11, 11, 10],
            "partial_rotary_factor": 0.25,
            "rope_theta": 10000000,
            "rope_type": "default",
        },
        "tie_word_embeddings": True,
        "vocab_size": n_vocab,
    } | more


_QWEN35_TINY = {
    "head_dim": 16,
    "linear_key_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_value_head_dim": 8,
    "mtp_num_hidden_layers": 1,
}
PUBLISHED_QWEN35 = {
    "qwen3.5-0.8b": _qwen35(1024, 3584, 24, 8, 2, 16),
    "qwen3.5-2b": _qwen35(2048, 6144, 24, 8, 2, 16),
    "qwen3.5-4b": _qwen35(2560, 9216, 32, 16, 4, 32),
}
SMALL_QWEN35 = {
    "qwen35": _qwen35(32, 64, 4, 4, 2, 2, 96, **_QWEN35_TINY),
    "qwen35-grouped": _qwen35(32, 64, 4, 4, 2, 6, 96, **_QWEN35_TINY, tie_word_embeddings=False),
    "qwen35-without-mtp": _qwen35(32, 64, 4, 4, 2, 2, 96, **_QWEN35_TINY | {"mtp_num_hidden_layers": 0}),
}
