"""Faster generation loops must not change a single token."""

from __future__ import annotations

import torch

from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.learn.claims.published._loops import batched, cached, chunked, naive, small_model

__all__ = ["CLAIM"]

N_NEW = 32
LENGTHS = (3, 8, 17, 30)


def compute() -> Value:
    """Tokens that differ from the naive loop over four prompts: KV cache, chunks of 4, a padded batch."""
    model = small_model(seed=1)
    generator = torch.Generator().manual_seed(2)
    prompts = [torch.randint(65, (n,), generator=generator).tolist() for n in LENGTHS]
    expected = [naive(model, prompt, N_NEW) for prompt in prompts]
    answers = (
        [cached(model, prompt, N_NEW) for prompt in prompts],
        [chunked(model, prompt, N_NEW, 4) for prompt in prompts],
        batched(model, prompts, N_NEW),
    )
    return tuple(float(_n_different(expected, answer)) for answer in answers)


def _n_different(expected: list[list[int]], answer: list[list[int]]) -> int:
    return sum(a != b for e, o in zip(expected, answer, strict=True) for a, b in zip(e, o, strict=True))


CLAIM = Claim(
    number="21a",
    description="tokens changed by a KV cache, chunked prefill, a padded batch (torch, 4 x 32 tokens)",
    published=(0.0, 0.0, 0.0),
    source="by definition: these methods are lossless",
    explained_by="python -m pydoc zeropoint.learn.claims.published._loops",
    compute=compute,
)
