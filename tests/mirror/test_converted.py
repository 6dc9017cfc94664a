"""Other programs run models written by `zeropoint convert` and generate the same greedy tokens.

The reference is our engine's exact mode. llama.cpp runs in the interpreter ZEROPOINT_LLAMA_CPP, else in this
one.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.llama_cpp import run_llama_cpp
from tests.support.tiny import Tiny, write_tiny_model
from tests.support.tiny_folder import CONFIGS, write_tiny_folder
from zeropoint.convert.convert import convert
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.session.load import load
from zeropoint.engine_options import EngineOptions
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

N_TOKENS = 16
PROMPT = "The capital of France is"


def ours(path: Path, ids: list[int]) -> list[int]:
    """Greedy tokens of the native engine in exact mode."""
    engine = NativeEngine(
        open_gguf(path), open_model(path).blueprint, EngineOptions(context=64, threads=2, exact=True)
    )
    stepper, generated = engine.stepper(), []
    while len(generated) < N_TOKENS:
        generated.append(int(stepper.extend(ids)[-1].argmax()))
        ids = generated[-1:]
    engine.close()
    return generated


def theirs(folder: Path, ids: list[int]) -> list[int]:
    """Greedy tokens of transformers in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids_BT = torch.tensor([ids])
    generated_BT = model.generate(
        ids_BT,
        attention_mask=torch.ones_like(ids_BT),
        max_new_tokens=N_TOKENS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
    )
    generated: list[int] = generated_BT[0, len(ids) :].tolist()
    return generated


@pytest.mark.heavy
@pytest.mark.parametrize("name", CONFIGS)
def test_a_folder_converted_from_a_gguf_runs_in_transformers(name: str, tmp_path: Path):
    write_tiny_folder(tmp_path / "a", CONFIGS[name])
    convert(tmp_path / "a", tmp_path / "b.gguf")
    convert(tmp_path / "b.gguf", tmp_path / "c")
    ids = [1, 5, 9, 2, 60]
    assert theirs(tmp_path / "a", ids) == theirs(tmp_path / "c", ids) == ours(tmp_path / "b.gguf", ids)


@pytest.mark.parametrize("form", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1"])
def test_a_gguf_converted_from_a_folder_runs_in_llama_cpp(form: str, llama_cpp: str, tmp_path: Path):
    write_tiny_model(tmp_path / "a.gguf", Tiny(d_ff=128, is_tied=False))
    convert(tmp_path / "a.gguf", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "b.gguf", to=form)
    with load(tmp_path / "b.gguf") as model:
        text = "<|im_start|>abc, it's 12 \n x"
        ids = model.tokenizer.encode(text, parse_special=True)
    result = run_llama_cpp(llama_cpp, tmp_path / "b.gguf", ids, text)
    assert result["ids"] == ids
    assert len(result["generated"]) == N_TOKENS
    # llama.cpp rounds activations to the weights' type and our exact mode does not, so near ties diverge.
    n_equal = {"F32": N_TOKENS, "F16": 8, "BF16": 8}.get(form, 0)
    assert result["generated"][:n_equal] == ours(tmp_path / "b.gguf", ids)[:n_equal]


def test_smollm2_converts_to_a_folder_and_back(smollm2_path: Path, llama_cpp: str, tmp_path: Path):
    convert(smollm2_path, tmp_path / "f32")
    with load(smollm2_path) as model:
        ids = model.tokenize(PROMPT)
    assert AutoTokenizer.from_pretrained(tmp_path / "f32")(PROMPT).input_ids == ids
    greedy = ours(smollm2_path, ids)
    assert theirs(tmp_path / "f32", ids) == greedy
    for form in ("F16", "Q8_0"):
        convert(tmp_path / "f32", tmp_path / f"{form}.gguf", to=form)
        assert run_llama_cpp(llama_cpp, tmp_path / f"{form}.gguf", ids)["generated"][:2] == greedy[:2]


def test_smollm2_converts_to_bfloat16(smollm2_path: Path, tmp_path: Path):
    convert(smollm2_path, tmp_path / "bf16", to="BF16")
    convert(tmp_path / "bf16", tmp_path / "bf16.gguf")
    with load(smollm2_path) as model:
        ids = model.tokenize(PROMPT)
    assert theirs(tmp_path / "bf16", ids) == ours(tmp_path / "bf16.gguf", ids)
