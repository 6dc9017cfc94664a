"""The native engine generates the same tokens with a KV cache, in chunks and in a batch."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from zeropoint import families
from zeropoint.engine.contract import Request
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._loops import small_model
from zeropoint.models.build import weights_of
from zeropoint.sampling.params import SamplingParams
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack

__all__ = ["CLAIM"]

N_NEW = 32
LENGTHS = (3, 8, 17, 30)


def compute() -> Value:
    """Tokens that differ from the naive loop: KV cache, chunks of 4, four requests at once."""
    generator = torch.Generator().manual_seed(2)
    prompts = [torch.randint(65, (n,), generator=generator).tolist() for n in LENGTHS]
    with tempfile.TemporaryDirectory() as folder:
        engine = _engine(Path(folder) / "small.gguf")
        expected = [_naive(engine, prompt) for prompt in prompts]
        answers = (
            [_chunked(engine, prompt, len(prompt)) for prompt in prompts],
            [_chunked(engine, prompt, 4) for prompt in prompts],
            _batched(engine, prompts),
        )
        engine.close()
    return tuple(float(_n_different(expected, answer)) for answer in answers)


def _engine(path: Path) -> NativeEngine:
    module = small_model(seed=1).module
    blueprint = replace(module.blueprint, family="zeropoint")
    tensors = [
        pack(name, LazyTensor(array.shape, "F32", lambda array=array: array), "F32")  # type: ignore[misc]
        for name, array in weights_of(module).items()
    ]
    write_gguf(path, families.for_blueprint(blueprint).to_gguf(blueprint), tensors)
    return NativeEngine(open_gguf(path), blueprint, EngineOptions(exact=True))


def _naive(engine: NativeEngine, prompt: Sequence[int]) -> list[int]:
    ids = list(prompt)
    for _ in range(N_NEW):
        stepper = engine.stepper()
        ids.append(int(np.argmax(stepper.extend(ids)[-1])))
        stepper.close()
    return ids[len(prompt) :]


def _chunked(engine: NativeEngine, prompt: Sequence[int], n_chunk: int) -> list[int]:
    stepper = engine.stepper()
    for start in range(0, len(prompt), n_chunk):
        logits_TV = stepper.extend(prompt[start : start + n_chunk])
    answer = [int(np.argmax(logits_TV[-1]))]
    while len(answer) < N_NEW:
        answer.append(int(np.argmax(stepper.extend(answer[-1:])[-1])))
    stepper.close()
    return answer


def _batched(engine: NativeEngine, prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """All requests at once with continuous batching, each with its own KV cache."""
    params = SamplingParams.of(temperature=0.0, max_tokens=N_NEW)
    requests = [engine.submit(Request(prompt, params)) for prompt in prompts]
    answers: dict[int, list[int]] = {request: [] for request in requests}
    n_running = len(requests)
    while n_running:
        for event in engine.step():
            if event.token is not None:
                answers[event.request].append(event.token)
            n_running -= event.finish is not None
    return [answers[request] for request in requests]


def _n_different(expected: list[list[int]], answer: list[list[int]]) -> int:
    return sum(a != b for e, o in zip(expected, answer, strict=True) for a, b in zip(e, o, strict=True))


CLAIM = Claim(
    number="21b",
    description="tokens changed by a KV cache, chunked prefill, four concurrent requests (native engine)",
    published=(0.0, 0.0, 0.0),
    source="by definition: these methods are lossless",
    explained_by="python -m pydoc zeropoint.learn.claims.published.lossless_native",
    compute=compute,
)
