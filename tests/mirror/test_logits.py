"""The engine's exact mode against Hugging Face transformers with the same float32 weights.

Logits agree to 1e-3, and 64 greedy tokens are equal: transformers reads prompt and answer in one pass, and
its argmax at each position must be the token that we generated there.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGUFValueType as Type
from numpy.typing import NDArray
from transformers import LlamaForCausalLM

import zeropoint
from tests.support.one_thread import one_thread
from tests.support.reference import reference_logits, reference_model
from tests.support.tiny import TINY_FORMATS, Tiny, write_tiny_model
from zeropoint import Model, SamplingParams, _native
from zeropoint.engine.contract import Request

__all__ = ["one_thread"]

ISAS: list[str] = _native.machine()["isas"]
FAST = [isa for isa in ISAS if isa != "scalar"]
MAX_ERROR = 1e-3
GREEDY = SamplingParams.of(temperature=0, max_tokens=64)

TINY = {
    "grouped": Tiny(),
    "multi-head": Tiny(n_kv_heads=4, seed=1),
    "multi-query": Tiny(n_heads=8, n_kv_heads=1, seed=2),
    "untied": Tiny(is_tied=False, seed=3),
    "wide-heads": Tiny(d_head=48, n_layers=1, seed=4),
    "odd-sizes": Tiny(n_heads=3, n_kv_heads=1, d_head=10, d_model=51, d_ff=77, seed=5),
    "rope-base": Tiny(rope_base=500.0, n_layers=4, seed=6),
    **{name: Tiny(format=name, seed=7) for name in TINY_FORMATS if name != "F32"},
}

PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "Q: What is 17 + 25?\nA:",
    "import numpy as np\n\nx = np.",
    "1, 2, 4, 8, 16,",
    "Der Himmel ist blau, weil",
    "La photosynthèse est le processus par lequel",
    "人工知能とは",
    "🎉🎉🎉 Happy",
    "   \n\n\t  ",
    "The the the the the the the the",
    "a",
    "Dear Sir or Madam,\n\nI am writing to",
    '{"name": "Ada", "born": 1815, "field": "',
    "SELECT name, COUNT(*) FROM orders GROUP BY",
    "ROMEO:\nBut soft, what light through yonder window breaks?\n",
    "E = mc^2 means that",
    "Water boils at 100 degrees Celsius. At high altitude, where the pressure is lower, it boils at",
    "<|im_start|>user\nName three fruits.<|im_end|>\n<|im_start|>assistant\n",
]


def greedy(model: Model, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy answers, generated in one batch."""
    engine = model.engine
    request_ids = [engine.submit(Request(prompt, GREEDY)) for prompt in prompts]
    answers: dict[int, list[int]] = {request_id: [] for request_id in request_ids}
    n_running = len(request_ids)
    while n_running:
        for event in engine.step():
            if event.token is not None:
                answers[event.request].append(event.token)
            n_running -= event.finish is not None
    return [answers[request_id] for request_id in request_ids]


def check_greedy(prompt: list[int], answer: list[int], logits: NDArray[np.float32]) -> None:
    """logits: the reference's, of prompt + answer. Its argmax at each position must be our token."""
    assert len(answer) == GREEDY.max_tokens
    expected = logits[len(prompt) - 1 : len(prompt) + len(answer) - 1].argmax(axis=-1)
    assert expected.tolist() == answer


def reference_of(model: Model) -> LlamaForCausalLM:
    reference = reference_model(model.file, model.blueprint)
    attention = model.blueprint.blocks[0].attention
    frequencies = attention.position.frequencies()
    # Columns that are not rotated have frequency 0.
    frequencies += [0.0] * (attention.d_head // 2 - len(frequencies))
    reference.model.rotary_emb.inv_freq = torch.tensor(frequencies, dtype=torch.float32)
    return reference


@pytest.mark.heavy
@pytest.mark.parametrize("kind", TINY)
def test_tiny_models_agree(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, TINY[kind])
    check_tiny(path)


@pytest.mark.heavy
def test_rope_variants_agree(tmp_path: Path) -> None:
    path = tmp_path / "linear.gguf"
    scaling = {
        "llama.rope.scaling.type": ("linear", Type.STRING),
        "llama.rope.scaling.factor": (4.0, Type.FLOAT32),
    }
    write_tiny_model(path, Tiny(), extra=scaling)
    check_tiny(path)
    path = tmp_path / "factors.gguf"
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    write_tiny_model(path, Tiny(), weights={"rope_freqs.weight": factors})
    check_tiny(path)
    path = tmp_path / "partial.gguf"
    write_tiny_model(path, Tiny(), extra={"llama.rope.dimension_count": (6, Type.UINT32)})
    check_tiny(path)


@pytest.mark.heavy
def test_a_long_context_agrees(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    write_tiny_model(path, Tiny(n_ctx=4096))
    ids = np.random.default_rng(1).integers(3, 261, 3000).tolist()
    with zeropoint.load(path, exact=True, threads=2) as model:
        expected = reference_logits(reference_of(model), ids)
        assert np.abs(model.logits(ids) - expected).max() <= MAX_ERROR


def check_tiny(path: Path) -> None:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(3, 261, n).tolist() for n in (1, 7, 100, 180)]
    reference, answers = None, None
    for isa in ISAS:
        with zeropoint.load(path, exact=True, isa=isa, threads=2) as model:
            reference = reference or reference_of(model)
            answers = answers or greedy(model, prompts)
            assert greedy(model, prompts) == answers
            for prompt, answer in zip(prompts, answers, strict=True):
                ids = prompt + answer
                expected = reference_logits(reference, ids)
                assert np.abs(model.logits(ids) - expected).max() <= MAX_ERROR
                check_greedy(prompt, answer, expected)


class CachedReference:
    """Logits of transformers for the real model, computed once for all instruction sets."""

    def __init__(self, path: Path) -> None:
        with zeropoint.load(path, context=1024) as model:
            self.reference = reference_of(model)
        self.cache: dict[tuple[int, ...], NDArray[np.float32]] = {}

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        key = tuple(ids)
        if key not in self.cache:
            self.cache[key] = reference_logits(self.reference, ids)
        return self.cache[key]


@pytest.fixture(scope="module")
def smollm2_reference(smollm2_path: Path) -> CachedReference:
    return CachedReference(smollm2_path)


@pytest.mark.parametrize("isa", FAST)
def test_smollm2_agrees(isa: str, smollm2_path: Path, smollm2_reference: CachedReference) -> None:
    worst = 0.0
    with zeropoint.load(smollm2_path, exact=True, isa=isa, context=1024) as model:
        prompts = [model.tokenizer.encode(text, parse_special=True) for text in PROMPTS]
        for prompt, answer in zip(prompts, greedy(model, prompts), strict=True):
            expected = smollm2_reference.logits(prompt + answer)
            worst = max(worst, float(np.abs(model.logits(prompt + answer) - expected).max()))
            check_greedy(prompt, answer, expected)
    print(f"{isa}: largest difference of a logit {worst:.2e}")
    assert worst <= MAX_ERROR


def test_smollm2_agrees_on_a_longer_text(smollm2_path: Path, smollm2_reference: CachedReference) -> None:
    with zeropoint.load(smollm2_path, exact=True, context=1024) as model:
        ids = model.tokenize(" ".join(PROMPTS) * 3)[:700]
        difference = np.abs(model.logits(ids) - smollm2_reference.logits(ids)).max()
    print(f"{len(ids)} tokens: largest difference of a logit {difference:.2e}")
    assert difference <= MAX_ERROR


def test_smollm2_agrees_with_the_scalar_kernels(
    smollm2_path: Path, smollm2_reference: CachedReference
) -> None:
    with zeropoint.load(smollm2_path, exact=True, isa="scalar", context=256) as model:
        ids = model.tokenize("The capital of France is")
        difference = np.abs(model.logits(ids) - smollm2_reference.logits(ids)).max()
    print(f"scalar: largest difference of a logit {difference:.2e}")
    assert difference <= MAX_ERROR
