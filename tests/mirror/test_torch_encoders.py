"""BERT and T5 in torch against Hugging Face; the 2017 Transformer against `torch.nn.Transformer`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn

from tests.mirror.family_cases import V
from tests.mirror.test_torch_families import TOLERANCE, T, both, gap
from tests.support.one_thread import one_thread
from tests.support.tiny_blueprints import SEQ2SEQS
from zeropoint.models.build import build, load

__all__ = ["one_thread"]

S, N_PADDING = 14, 4
_BERT = {
    "vocab_size": V,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
_T5 = {
    "vocab_size": V,
    "d_model": 32,
    "d_ff": 48,
    "d_kv": 8,
    "num_layers": 2,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 16,
    "decoder_start_token_id": 0,
}
BERTS = {
    "plain": _BERT,
    "three kinds, relu": {**_BERT, "type_vocab_size": 3, "hidden_act": "relu", "layer_norm_eps": 1e-3},
    "one head": {**_BERT, "num_attention_heads": 1, "intermediate_size": 20},
}
T5S = {
    "plain": _T5,
    "narrow heads": {**_T5, "d_kv": 4, "num_decoder_layers": 3},
    "gated, untied": {**_T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "gated, tied": {**_T5, "feed_forward_proj": "gated-gelu"},
    "many buckets": {**_T5, "relative_attention_num_buckets": 32, "relative_attention_max_distance": 128},
}


def some_ids(n_tokens: int, seed: int = 1) -> Tensor:
    return torch.randint(3, V, (2, n_tokens), generator=torch.Generator().manual_seed(seed))


def right_padding(n_tokens: int) -> Tensor:
    mask = torch.ones(2, n_tokens, dtype=torch.long)
    mask[0, -N_PADDING:] = 0
    return mask


@pytest.mark.parametrize("config", BERTS.values(), ids=BERTS)
@torch.no_grad()
def test_bert(config: dict[str, Any], tmp_path: Path, record_property: Any) -> None:
    hf_config = transformers.BertConfig(**config)
    hf_model = transformers.BertForMaskedLM._from_config(hf_config, attn_implementation="eager")
    model, hf_model = both(tmp_path, hf_model)
    ids, mask = some_ids(T), right_padding(T)
    types = (torch.arange(T) >= 9).long().expand(2, T)
    expected = hf_model(ids, attention_mask=mask, token_type_ids=types).logits[mask.bool()]
    gaps = {
        "at once": gap(model(ids), hf_model(ids).logits),
        "padded, two segments": gap(model(ids, mask, types)[mask.bool()], expected),
    }
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps


@pytest.mark.parametrize("config", T5S.values(), ids=T5S)
@torch.no_grad()
def test_t5(config: dict[str, Any], tmp_path: Path, record_property: Any) -> None:
    hf_config = transformers.T5Config(**config)
    hf_config.tie_word_embeddings = config.get("tie_word_embeddings", True)
    hf_model = transformers.T5ForConditionalGeneration._from_config(hf_config, attn_implementation="eager")
    # transformers 5 ties all of T5's matrices or none; T5 v1.1 has one embedding and a separate head.
    hf_model.encoder.set_input_embeddings(hf_model.shared)
    hf_model.decoder.set_input_embeddings(hf_model.shared)
    model, hf_model = both(tmp_path, hf_model)
    source, target, mask = some_ids(S), some_ids(T, seed=2), right_padding(S)
    expected = hf_model(input_ids=source, decoder_input_ids=target).logits
    padded = hf_model(input_ids=source, attention_mask=mask, decoder_input_ids=target).logits
    cache = model.new_cache(T)
    by_token = [model(source, target[:, t : t + 1], cache, mask) for t in range(T)]
    gaps = {
        "at once": gap(model(source, target), expected),
        "padded": gap(model(source, target, None, mask), padded),
        "padded, with a cache": gap(torch.cat(by_token, 1), padded),
    }
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps


@torch.no_grad()
def test_2017_transformer_equals_torch(record_property: Any) -> None:
    """torch's encoder and decoder stacks, with our embedding and head around them."""
    blueprint = SEQ2SEQS["transformer"]
    options = {"dim_feedforward": 48, "dropout": 0.0, "batch_first": True}
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(32, 4, **options), 3, enable_nested_tensor=False
    )
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, **options), 2)
    generator = torch.Generator().manual_seed(3)
    for parameter in (*encoder.parameters(), *decoder.parameters()):
        parameter.add_(torch.empty_like(parameter).normal_(0, 0.2, generator=generator))
    model = build(blueprint)
    weights = {k: p.numpy() for k, p in model.named_parameters() if not k.startswith(("encoder.", "blocks."))}
    weights |= _stack("encoder", encoder, {"attention": "self_attn"}, ("attention", "ffn"))
    parts = ("attention", "cross_attention", "ffn")
    weights |= _stack(
        "blocks", decoder, {"attention": "self_attn", "cross_attention": "multihead_attn"}, parts
    )
    load(model, weights)

    source, target, mask = some_ids(S), some_ids(T, seed=2), right_padding(S)
    is_padding = mask == 0
    x_BSD = model.embedding(source, torch.arange(S)[None])
    memory = encoder(x_BSD, src_key_padding_mask=is_padding)
    causal = nn.Transformer.generate_square_subsequent_mask(T)
    x_BTD = model.embedding(target, torch.arange(T)[None])
    y_BTD = decoder(x_BTD, memory, tgt_mask=causal, memory_key_padding_mask=is_padding)
    expected = y_BTD @ model.embedding.weight.T
    logits_BTV = model(source, target, None, mask)
    gaps = {"padded": gap(logits_BTV, expected)}
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps


def _stack(
    name: str, stack: nn.Module, attentions: dict[str, str], parts: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """Translate torch's names into ours: it stores query, key and value as one matrix, and numbers norms."""
    weights: dict[str, np.ndarray] = {}
    for i, layer in enumerate(stack.layers):  # type: ignore[arg-type]
        arrays = {key: p.numpy() for key, p in layer.named_parameters()}
        for kind in ("weight", "bias"):
            at = f"{name}.{i}"
            for our_name, part in attentions.items():
                for row, part_name in enumerate(("query", "key", "value")):
                    fused = arrays[f"{part}.in_proj_{kind}"]
                    weights[f"{at}.{our_name}.{part_name}.{kind}"] = fused[32 * row : 32 * (row + 1)]
                weights[f"{at}.{our_name}.output.{kind}"] = arrays[f"{part}.out_proj.{kind}"]
            for number, part in enumerate(parts, start=1):
                weights[f"{at}.{part}_norm.{kind}"] = arrays[f"norm{number}.{kind}"]
            weights[f"{at}.ffn.up.{kind}"] = arrays[f"linear1.{kind}"]
            weights[f"{at}.ffn.down.{kind}"] = arrays[f"linear2.{kind}"]
    return weights
