"""A trained model generates the same in torch, our native engine, llama.cpp and transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.support.llama_cpp import run_llama_cpp
from tests.support.tiny_run import TINY_RUNS, write_tiny_run
from zeropoint.blueprint.io import from_toml
from zeropoint.convert.convert import convert
from zeropoint.engine.session.load import load
from zeropoint.models.build import build
from zeropoint.models.build import load as fill
from zeropoint.models.decoder import Decoder
from zeropoint.train.config.io import read_config
from zeropoint.train.run.run import run

PROMPT = "ROMEO: é▁\\n \n"
N_TOKENS = 24


def greedy(model: Decoder, ids: list[int]) -> list[int]:
    """Greedy decoding without a KV cache: read the complete text again for every token."""
    ids = list(ids)
    with torch.no_grad():
        for _ in range(N_TOKENS):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-N_TOKENS:]


@pytest.mark.heavy
@pytest.mark.parametrize("name", TINY_RUNS)
def test_native_engine_generates_what_torch_generates(name: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "m.gguf")
    expected = greedy(model, tokenizer.encode(PROMPT))
    with load(tmp_path / "m.gguf", exact=True) as ours:
        stream = ours.generate(PROMPT, temperature=0, max_tokens=N_TOKENS)
        assert "".join(stream) == tokenizer.decode(expected)
        assert ours.blueprint.n_vocab == tokenizer.n_vocab
        assert ours.tokenizer.stop_ids == frozenset()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_llama_cpp_generates_what_torch_generates(name: str, llama_cpp: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "m.gguf")
    ids = tokenizer.encode(PROMPT)
    result = run_llama_cpp(llama_cpp, tmp_path / "m.gguf", ids, PROMPT, n_tokens=N_TOKENS)
    assert result == {"ids": ids, "generated": greedy(model, ids)}


@pytest.mark.heavy
@pytest.mark.parametrize("name", TINY_RUNS)
def test_transformers_computes_equal_logits_and_ids(name: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "folder")
    hf_model = AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32).eval()
    hf_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    ids = hf_tokenizer(PROMPT).input_ids
    assert ids == tokenizer.encode(PROMPT)
    assert hf_tokenizer.decode(ids) == PROMPT
    with torch.no_grad():
        ids_BT = torch.tensor([ids])
        np.testing.assert_allclose(hf_model(ids_BT).logits, model(ids_BT), atol=2e-5)


def test_run_converted_to_a_folder_converts_to_gguf(tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS["llama"])
    convert(tmp_path / "run", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "m.gguf")
    ids = tokenizer.encode(PROMPT)
    with load(tmp_path / "m.gguf", exact=True) as ours, torch.no_grad():
        assert ours.tokenize(PROMPT) == ids
        np.testing.assert_allclose(ours.logits(ids), model(torch.tensor([ids]))[0], atol=2e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training run of a tiny Llama with a BPE tokenizer, after 40 steps."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    sets = [
        'model.family="llama"', "model.n_layers=2", "model.d_model=32", "model.n_ctx=64", "train.steps=40",
        'data.tokenizer="bpe"', "data.n_vocab=300", "optimizer.learning_rate=1e-2", "sample.every=0",
        "eval.n_batches=1", "schedule.warmup_steps=5",
    ]  # fmt: skip
    run(read_config("harbour", sets), folder)
    return folder


def model_of_run(folder: Path) -> Decoder:
    """The model of a run's last checkpoint, read directly from its files."""
    checkpoint = folder / "checkpoints" / (folder / "latest").read_text().strip()
    model = build(from_toml((folder / "blueprint.toml").read_text()), seed=None)
    fill(model, {name: w.numpy() for name, w in load_file(checkpoint / "weights.safetensors").items()})
    assert isinstance(model, Decoder)
    return model.eval()


def test_run_opens_by_its_folder_and_generates_what_torch_generates(trained: Path) -> None:
    model = model_of_run(trained)
    with load(trained, exact=True) as ours:
        ids = ours.tokenize("The harbour was")
        assert "".join(ours.generate("The harbour was", temperature=0, max_tokens=N_TOKENS)) == (
            ours.detokenize(greedy(model, ids))
        )
        assert ours.tokenizer.eos_id == ours.tokenizer.bos_id == 299
    with load(trained / "best", exact=True) as best:
        assert best.blueprint == ours.blueprint


def test_bpe_run_in_llama_cpp(trained: Path, llama_cpp: str, tmp_path: Path) -> None:
    convert(trained, tmp_path / "m.gguf")
    with load(trained) as ours:
        ids = ours.tokenize("The harbour was\n \u00e9")
    result = run_llama_cpp(llama_cpp, tmp_path / "m.gguf", ids, "The harbour was\n \u00e9", n_tokens=N_TOKENS)
    assert result == {"ids": ids, "generated": greedy(model_of_run(trained), ids)}


def test_bpe_run_in_transformers(trained: Path, tmp_path: Path) -> None:
    convert(trained, tmp_path / "folder")
    hf_model = AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32).eval()
    hf_tokenizer = AutoTokenizer.from_pretrained(tmp_path / "folder")
    ids = hf_tokenizer("The harbour was").input_ids
    with torch.no_grad():
        ids_BT = torch.tensor([ids])
        np.testing.assert_allclose(hf_model(ids_BT).logits, model_of_run(trained)(ids_BT), atol=2e-5)
    with load(trained) as ours:
        assert ids == ours.tokenize("The harbour was")
    assert hf_model.config.eos_token_id == hf_tokenizer.eos_token_id == 299
