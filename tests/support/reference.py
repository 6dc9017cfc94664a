"""The weights of a GGUF file in Hugging Face transformers, the reference for the native engine."""

from __future__ import annotations

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.sources import stored_names
from zeropoint.families import llama
from zeropoint.weights.gguf.model import GgufModel

_TOP = {
    "embedding.weight": "model.embed_tokens.weight",
    "final_norm.weight": "model.norm.weight",
    "head.weight": "lm_head.weight",
}
_BLOCK = {
    "attention_norm.weight": "input_layernorm.weight",
    "attention.query.weight": "self_attn.q_proj.weight",
    "attention.key.weight": "self_attn.k_proj.weight",
    "attention.value.weight": "self_attn.v_proj.weight",
    "attention.output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn.gate.weight": "mlp.gate_proj.weight",
    "ffn.up.weight": "mlp.up_proj.weight",
    "ffn.down.weight": "mlp.down_proj.weight",
}


def reference_model(file: GgufModel, blueprint: Blueprint) -> LlamaForCausalLM:
    """transformers' Llama with the file's weights as float32. Every tensor must have a counterpart."""
    attention = blueprint.blocks[0].attention
    config = LlamaConfig(
        vocab_size=blueprint.n_vocab,
        hidden_size=blueprint.d_model,
        intermediate_size=blueprint.blocks[0].ffn.d_ff,
        num_hidden_layers=blueprint.n_layers,
        num_attention_heads=attention.n_heads,
        num_key_value_heads=attention.n_kv_heads,
        head_dim=attention.d_head,
        max_position_embeddings=blueprint.n_ctx,
        rms_norm_eps=blueprint.final_norm.eps,
        rope_parameters={"rope_type": "default", "rope_theta": attention.position.base},
        tie_word_embeddings=blueprint.is_tied,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).eval()
    state = {}
    for ours, source in llama.tensor_map(blueprint, "gguf").items():
        weight = file.array(stored_names(source)[0])
        if ours.endswith(("query.weight", "key.weight")):
            weight = _half_layout(weight, attention.d_head)
        state[_their_name(ours)] = torch.from_numpy(np.ascontiguousarray(weight))
    if blueprint.is_tied:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


@torch.no_grad()
def reference_logits(model: LlamaForCausalLM, ids: list[int]) -> np.ndarray:
    """Logits of the reference, float32 [T, V]."""
    return model(torch.tensor([ids])).logits[0].numpy()


def _their_name(ours: str) -> str:
    if ours in _TOP:
        return _TOP[ours]
    _, layer, part = ours.split(".", 2)
    return f"model.layers.{layer}.{_BLOCK[part]}"


def _half_layout(weight: np.ndarray, d_head: int) -> np.ndarray:
    """Reorder the rows of each head from interleaved pairs (GGUF) to halves (Hugging Face)."""
    rows, cols = weight.shape
    return weight.reshape(rows // d_head, d_head // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)
