"""Recurrent layers on long texts, against transformers: in chunks, and continued by later parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from tests.mirror.family_cases import CASES, V
from tests.mirror.test_torch_families import TOLERANCE, both, gap
from tests.support.one_thread import one_thread

__all__ = ["one_thread"]


@pytest.mark.parametrize("n_groups", [1, 2])
@torch.no_grad()
def test_long_texts_of_mamba2_agree(n_groups: int, tmp_path: Path, record_property: Any) -> None:
    """Beyond the length from which both sides compute in chunks, which differ in size."""
    config = {**CASES["mamba2"]["one group, tied"], "n_groups": n_groups}
    hf_config = transformers.AutoConfig.for_model("mamba2", **config)
    model, hf_model = both(tmp_path, transformers.AutoModelForCausalLM.from_config(hf_config))
    ids = torch.randint(3, V, (2, 150), generator=torch.Generator().manual_seed(1))
    expected, state_cache = hf_model(ids).logits, model.new_cache(150)
    parts = [model(ids[:, a:b], state_cache) for a, b in ((0, 70), (70, 71), (71, 75), (75, 150))]
    gaps = {"at once": gap(model(ids), expected), "in parts": gap(torch.cat(parts, 1), expected)}
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps
