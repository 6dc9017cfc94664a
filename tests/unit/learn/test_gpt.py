"""The model in one file computes what `models/` and the native engine compute, cached or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from tests.support.tree import SOURCE
from zeropoint.errors import BadInput, ContextFull
from zeropoint.learn.gpt import GPT, KVCache, generate, load
from zeropoint.models.build import build
from zeropoint.models.build import load as load_weights
from zeropoint.weights.open_model import open_model

IDS = [40, 41, 60, 41, 99, 7]


def reference_logits(path: Path, ids: list[int]) -> torch.Tensor:
    """Logits [T, V] of the model that `models/` builds from the same file."""
    opened = open_model(path)
    module = build(opened.blueprint, seed=None).eval()
    load_weights(module, opened.weights)
    with torch.no_grad():
        return module(torch.tensor([ids]))[0]  # type: ignore[no-any-return]


@torch.no_grad()
def logits_of(model: GPT, ids: list[int]) -> torch.Tensor:
    logits_TV: torch.Tensor = model(torch.tensor([ids]))[0]
    return logits_TV


def test_tiny_model_equals_models_and_the_native_engine(tiny_path: Path) -> None:
    logits_TV = logits_of(load(tiny_path), IDS)
    torch.testing.assert_close(logits_TV, reference_logits(tiny_path, IDS), atol=1e-5, rtol=1e-5)
    with zeropoint.load(tiny_path, context=64, exact=True) as native:
        np.testing.assert_allclose(logits_TV, native.logits(IDS), atol=1e-4)


def test_smollm2_equals_models_and_the_native_engine(smollm2_path: Path) -> None:
    """Logits reach about 20 and pass 30 layers: float32 rounding stays below 1e-3."""
    model = load(smollm2_path)
    with zeropoint.load(smollm2_path, context=64, exact=True) as native:
        ids = native.tokenize("The capital of France is")
        logits_TV = logits_of(model, ids)
        np.testing.assert_allclose(logits_TV, native.logits(ids), atol=1e-3)
        stream = native.generate("The capital of France is", temperature=0, max_tokens=8)
        stream.text()
        assert list(generate(model, ids, 8)) == stream.token_ids
    torch.testing.assert_close(logits_TV, reference_logits(smollm2_path, ids), atol=1e-3, rtol=0)


def test_cached_and_uncached_generation_agree(tiny_path: Path) -> None:
    model, uncached = load(tiny_path), list(IDS)
    for _ in range(12):
        uncached.append(int(logits_of(model, uncached)[-1].argmax()))
    assert [*IDS, *generate(model, IDS, 12)] == uncached


@torch.no_grad()
def test_chunks_with_a_cache_give_the_same_logits(tiny_path: Path) -> None:
    model, ids = load(tiny_path), torch.tensor([IDS])
    cache = KVCache(model.config.n_layers)
    parts = [model(part, cache) for part in ids.split([3, 1, 2], 1)]
    torch.testing.assert_close(torch.cat(parts, 1), model(ids), atol=1e-5, rtol=1e-5)
    assert cache.n_tokens == len(IDS)


def test_sampling_follows_the_seed_and_temperature(tiny_path: Path) -> None:
    model = load(tiny_path)

    def sample(seed: int) -> list[int]:
        torch.manual_seed(seed)
        return list(generate(model, IDS, 20, temperature=1.0))

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_limits_are_reported(tmp_path: Path, tiny_path: Path) -> None:
    with pytest.raises(ContextFull, match="the text has 257 tokens; the context holds 256"):
        load(tiny_path)(torch.zeros(1, 257, dtype=torch.long))
    write_tiny_model(tmp_path / "untied.gguf", Tiny(is_tied=False))
    with pytest.raises(BadInput, match="runs tied Llama models"):
        load(tmp_path / "untied.gguf")


def test_command_line_continues_the_prompt(smollm2_path: Path) -> None:
    command = [sys.executable, "-m", "zeropoint.learn.gpt", "The capital of France is"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert result.stdout.startswith("The capital of France is Paris")


def test_file_is_short_enough_to_read_at_one_sitting() -> None:
    assert len((SOURCE / "learn" / "gpt.py").read_text("utf-8").splitlines()) <= 220
