"""Adapters in peft's layout, both ways: peft's own outputs are the reference. Skipped without peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.convert.convert import convert
from zeropoint.models.build import build, load
from zeropoint.models.decoder import Decoder
from zeropoint.tune.peft_layout import load_adapter, save_adapter
from zeropoint.weights.open_model import open_model

pytestmark = pytest.mark.heavy
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

TARGETS = ["q_proj", "v_proj", "down_proj"]
CASES: dict[str, Any] = {
    "lora": lambda: peft.LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=6, target_modules=TARGETS),
    "rslora": lambda: peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, use_rslora=True, target_modules="all-linear"
    ),
    "dora": lambda: peft.LoraConfig(task_type="CAUSAL_LM", r=4, use_dora=True, target_modules=TARGETS),
    "ia3": lambda: peft.IA3Config(
        task_type="CAUSAL_LM",
        target_modules=["k_proj", "v_proj", "down_proj"],
        feedforward_modules=["down_proj"],
    ),
    "prompt": lambda: peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "prefix": lambda: peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5),
    "p_tuning": lambda: peft.PromptEncoderConfig(
        task_type="CAUSAL_LM", num_virtual_tokens=5, encoder_hidden_size=8
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("peft") / "base"
    write_tiny_folder(path, CONFIGS["llama"])
    return path


def theirs(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def ours(folder: Path) -> Decoder:
    opened = open_model(folder)
    module = build(opened.blueprint, seed=None)
    load(module, opened.weights)
    if not isinstance(module, Decoder):
        raise TypeError(type(module))
    return module.eval()


@pytest.fixture(scope="module")
def gguf(folder: Path) -> Path:
    return convert(folder, folder.parent / "base.gguf").path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["folder", "gguf"])  # whose rows of queries and keys differ in order
@pytest.mark.parametrize("case", CASES)
def test_adapters_travel_both_ways(case: str, kind: str, folder: Path, gguf: Path, tmp_path: Path) -> None:
    ids_BT = torch.randint(0, 61, (2, 7), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model = peft.get_peft_model(theirs(folder), CASES[case]())
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.1 * torch.randn_like(p))
    model.eval().save_pretrained(tmp_path / "theirs")
    with torch.no_grad():
        expected = model(input_ids=ids_BT).logits[:, -7:]
        plain = theirs(folder)(input_ids=ids_BT).logits
    assert not torch.allclose(expected, plain, atol=1e-3)

    read = ours(folder if kind == "folder" else gguf)
    adapter = load_adapter(read, tmp_path / "theirs")
    with torch.no_grad():
        assert torch.allclose(read.eval()(ids_BT), expected, atol=2e-4)

    save_adapter(read, adapter, tmp_path / "ours", base=str(folder))
    back = peft.PeftModel.from_pretrained(theirs(folder), tmp_path / "ours").eval()
    with torch.no_grad():
        assert torch.allclose(back(input_ids=ids_BT).logits[:, -7:], expected, atol=2e-4)
