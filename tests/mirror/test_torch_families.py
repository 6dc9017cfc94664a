"""Every family in torch against Hugging Face transformers, from a folder that transformers wrote.

Each family has several small configurations with random weights. transformers writes one with
`save_pretrained`, we open it (and reject missing or unused tensors), and both compute logits. They agree
within 1e-4 in float32: in one forward pass, token by token and in chunks with a KV cache, and for batches
with padding on the left.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from tests.mirror.family_cases import CASES, V
from tests.support.one_thread import one_thread
from zeropoint.models.build import build, load
from zeropoint.weights.open_model import open_model

__all__ = ["one_thread"]

TOLERANCE = 1e-4
T, N_PADDING = 20, 5

PAIRS = [pytest.param(f, c, id=f"{f}-{n}") for f, configs in CASES.items() for n, c in configs.items()]


def randomized(model: Any) -> Any:
    """Draw weights so that every layer matters: gains other than 1, biases other than 0, varied scores."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        scalars = [buffer for name, buffer in model.named_buffers() if name.endswith("layer_scalar")]
        for parameter in [*model.parameters(), *scalars]:
            drawn = torch.empty_like(parameter).normal_(0, 1, generator=generator)
            if parameter.dim() < 2:
                parameter.add_(0.2 * drawn)  # around the initial 0 of a bias, or 1 of a gain
            else:
                parameter.copy_(drawn * 1.5 * parameter.shape[-1] ** -0.5)
    return model.eval()


def both(folder: Path, hf_model: Any) -> tuple[Any, Any]:
    """Our model, loaded from the folder that the Hugging Face model writes, and that model."""
    randomized(hf_model)
    hf_model.save_pretrained(folder)
    opened = open_model(folder)
    model = build(opened.blueprint, seed=None).eval()
    load(model, opened.weights)
    return model, hf_model


@cache
def decoder_ids() -> Tensor:
    return torch.randint(3, V, (2, T), generator=torch.Generator().manual_seed(1))


def gap(actual: Tensor, expected: Tensor) -> float:
    """The largest difference between logits, which must vary for the comparison to mean anything."""
    assert actual.shape == expected.shape
    assert expected.std() > 0.1
    return float((actual - expected).abs().max())


@pytest.mark.parametrize(("family", "config"), PAIRS)
@torch.no_grad()
def test_decoder_logits_agree(
    family: str, config: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    hf_config = transformers.AutoConfig.for_model(family, **config)
    hf_model = transformers.AutoModelForCausalLM.from_config(hf_config, attn_implementation="eager")
    model, hf_model = both(tmp_path, hf_model)
    ids = decoder_ids()
    expected = hf_model(ids).logits
    kv_cache, chunked_cache = model.new_cache(T), model.new_cache(T)
    by_token = torch.cat([model(ids[:, t : t + 1], kv_cache) for t in range(T)], 1)
    in_chunks = torch.cat([model(chunk, chunked_cache) for chunk in ids.split([7, 1, T - 8], 1)], 1)

    mask = torch.ones_like(ids)
    mask[0, :N_PADDING] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    if config.get("conv_bias") or config.get("use_bias"):  # its convolution sees the biases of padding
        rows = [hf_model(ids[:1, N_PADDING:]).logits[0], hf_model(ids[1:]).logits[0]]
        expected_padded = torch.cat(rows)
    else:
        expected_padded = hf_model(ids, attention_mask=mask, position_ids=positions).logits[mask.bool()]

    gaps = {
        "at once": gap(model(ids), expected),
        "with a cache": gap(by_token, expected),
        "in chunks": gap(in_chunks, expected),
        "padded": gap(model(ids, mask_BT=mask)[mask.bool()], expected_padded),
    }
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps
