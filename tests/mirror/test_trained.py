"""A trained model leaves its run for our native engine, llama.cpp and transformers, and says the same."""

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
from zeropoint.train.config.config import read_config
from zeropoint.train.run.run import run

PROMPT = "ROMEO: é▁\\n \n"
N_TOKENS = 24


def greedy(model: Decoder, ids: list[int]) -> list[int]:
    """The likeliest token again and again, all of the text read anew for each."""
    ids = list(ids)
    with torch.no_grad():
        for _ in range(N_TOKENS):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[-N_TOKENS:]


@pytest.mark.parametrize("name", TINY_RUNS)
def test_the_native_engine_says_what_torch_says(name: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "m.gguf")
    wanted = greedy(model, tokenizer.encode(PROMPT))
    with load(tmp_path / "m.gguf", exact=True) as ours:
        stream = ours.generate(PROMPT, temperature=0, max_tokens=N_TOKENS)
        assert "".join(stream) == tokenizer.decode(wanted)
        assert ours.blueprint.n_vocab == tokenizer.n_vocab
        assert ours.tokenizer.stop_ids == frozenset()


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_llama_cpp_says_what_torch_says(name: str, llama_cpp: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "m.gguf")
    ids = tokenizer.encode(PROMPT)
    result = run_llama_cpp(llama_cpp, tmp_path / "m.gguf", ids, PROMPT, n_tokens=N_TOKENS)
    assert result == {"ids": ids, "made": greedy(model, ids)}


@pytest.mark.parametrize("name", TINY_RUNS)
def test_transformers_has_equal_logits_and_ids(name: str, tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS[name])
    convert(tmp_path / "run", tmp_path / "folder")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "folder")
    ids = words(PROMPT).input_ids
    assert ids == tokenizer.encode(PROMPT)
    assert words.decode(ids) == PROMPT
    with torch.no_grad():
        ids_BT = torch.tensor([ids])
        np.testing.assert_allclose(theirs(ids_BT).logits, model(ids_BT), atol=2e-5)


def test_a_folder_made_of_a_run_becomes_a_gguf(tmp_path: Path) -> None:
    model, tokenizer = write_tiny_run(tmp_path / "run", TINY_RUNS["llama"])
    convert(tmp_path / "run", tmp_path / "folder")
    convert(tmp_path / "folder", tmp_path / "m.gguf")
    ids = tokenizer.encode(PROMPT)
    with load(tmp_path / "m.gguf", exact=True) as ours, torch.no_grad():
        assert ours.tokenize(PROMPT) == ids
        np.testing.assert_allclose(ours.logits(ids), model(torch.tensor([ids]))[0], atol=2e-5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny Llama with byte pairs, that has learnt a little."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    sets = [
        'model.family="llama"', "model.n_layers=2", "model.d_model=32", "model.n_ctx=64", "train.steps=40",
        'data.tokenizer="bpe"', "data.n_vocab=300", "optimizer.learning_rate=1e-2", "sample.every=0",
        "eval.n_batches=1", "schedule.warmup_steps=5",
    ]  # fmt: skip
    run(read_config("harbour", sets), folder)
    return folder


def of_run(folder: Path) -> Decoder:
    """The model of a run's last checkpoint in torch, straight from its files."""
    checkpoint = folder / "checkpoints" / (folder / "latest").read_text().strip()
    model = build(from_toml((folder / "blueprint.toml").read_text()), seed=None)
    fill(model, {name: w.numpy() for name, w in load_file(checkpoint / "weights.safetensors").items()})
    assert isinstance(model, Decoder)
    return model.eval()


def test_a_run_is_opened_by_its_folder_and_says_what_torch_says(trained: Path) -> None:
    model = of_run(trained)
    with load(trained, exact=True) as ours:
        ids = ours.tokenize("The harbour was")
        assert "".join(ours.generate("The harbour was", temperature=0, max_tokens=N_TOKENS)) == (
            ours.detokenize(greedy(model, ids))
        )
        assert ours.tokenizer.eos_id == ours.tokenizer.bos_id == 299
    with load(trained / "best", exact=True) as best:
        assert best.blueprint == ours.blueprint


def test_byte_pairs_in_llama_cpp(trained: Path, llama_cpp: str, tmp_path: Path) -> None:
    convert(trained, tmp_path / "m.gguf")
    with load(trained) as ours:
        ids = ours.tokenize("The harbour was\n \u00e9")
    result = run_llama_cpp(llama_cpp, tmp_path / "m.gguf", ids, "The harbour was\n \u00e9", n_tokens=N_TOKENS)
    assert result == {"ids": ids, "made": greedy(of_run(trained), ids)}


def test_byte_pairs_in_transformers(trained: Path, tmp_path: Path) -> None:
    convert(trained, tmp_path / "folder")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "folder", dtype=torch.float32).eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "folder")
    ids = words("The harbour was").input_ids
    with torch.no_grad():
        ids_BT = torch.tensor([ids])
        np.testing.assert_allclose(theirs(ids_BT).logits, of_run(trained)(ids_BT), atol=2e-5)
    with load(trained) as ours:
        assert ids == ours.tokenize("The harbour was")
    assert theirs.config.eos_token_id == words.eos_token_id == 299
