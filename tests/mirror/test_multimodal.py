"""The language model of a multimodal folder in torch against transformers, which wrote the folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.mirror.family_cases import CASES, V
from tests.mirror.test_torch_families import TOLERANCE, both, decoder_ids, gap
from zeropoint.weights.open_model import open_model

_VISION = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
_VISION |= {"image_size": 16, "patch_size": 8}
MULTIMODAL: dict[str, dict[str, Any]] = {
    "mistral3": {
        "text_config": {"model_type": "ministral3", **CASES["ministral3"]["beyond"]},
        "vision_config": {"model_type": "pixtral", **_VISION, "head_dim": 8},
        "image_token_index": 3,
    },
    "gemma3": {
        "text_config": CASES["gemma3_text"]["plain"],
        "vision_config": {"model_type": "siglip_vision_model", **_VISION, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        "image_token_index": 3,
    },
}


@pytest.mark.parametrize("family", MULTIMODAL)
@torch.no_grad()
def test_the_language_model_of_a_multimodal_folder_agrees(family: str, tmp_path: Path) -> None:
    hf_config = transformers.AutoConfig.for_model(family, **MULTIMODAL[family])
    hf_model = transformers.AutoModelForImageTextToText.from_config(hf_config, attn_implementation="eager")
    model, hf_model = both(tmp_path, hf_model)
    ids = decoder_ids() % (V - 4) + 4  # no image tokens
    assert gap(model(ids), hf_model(input_ids=ids).logits) < TOLERANCE
    left_out = open_model(tmp_path).left_out
    assert left_out
    assert not any("language_model" in name for name in left_out)
