"""Greedy generation loops that must produce the same tokens, with a count of the tokens each processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from zeropoint.learn.build_gpt import lecture_blueprint
from zeropoint.models.build import build
from zeropoint.models.decoder import Decoder

__all__ = ["Counted", "batched", "cached", "chunked", "naive", "small_model"]


class Counted:
    """A decoder that counts the tokens it processes."""

    def __init__(self, module: Decoder) -> None:
        self.module = module.eval()
        self.n_processed = 0

    def logits(self, ids_BT: torch.Tensor, *args: object, **kwargs: object) -> torch.Tensor:
        """Logits [B, T, V]."""
        self.n_processed += ids_BT.numel()
        with torch.no_grad():
            logits_BTV: torch.Tensor = self.module(ids_BT, *args, **kwargs)
        return logits_BTV


def small_model(seed: int = 0) -> Counted:
    """A small character-level GPT with random weights."""
    blueprint = lecture_blueprint(d_model=64, n_layers=2, n_heads=4, n_ctx=128)
    module = cast(Decoder, build(blueprint, seed=seed))
    # At the initial scale of 0.02 the logits are nearly equal; larger weights give varied output.
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() > 1:
                parameter.mul_(6)
    return Counted(module)


def naive(model: Counted, prompt: Sequence[int], n_tokens: int) -> list[int]:
    """Rerun the complete text for every new token."""
    ids = list(prompt)
    for _ in range(n_tokens):
        ids.append(int(model.logits(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


def cached(model: Counted, prompt: Sequence[int], n_tokens: int) -> list[int]:
    """Use a KV cache, so that each new token is processed once."""
    return chunked(model, prompt, n_tokens, len(prompt))


def chunked(model: Counted, prompt: Sequence[int], n_tokens: int, n_chunk: int) -> list[int]:
    """Use a KV cache and process the prompt n_chunk tokens at a time."""
    cache = model.module.new_cache(len(prompt) + n_tokens)
    for start in range(0, len(prompt), n_chunk):
        logits_BTV = model.logits(torch.tensor([list(prompt[start : start + n_chunk])]), cache)
    answer = [int(logits_BTV[0, -1].argmax())]
    while len(answer) < n_tokens:
        answer.append(int(model.logits(torch.tensor([answer[-1:]]), cache)[0, -1].argmax()))
    return answer


def batched(model: Counted, prompts: Sequence[Sequence[int]], n_tokens: int) -> list[list[int]]:
    """Process all prompts as one left-padded batch with a KV cache."""
    max_length = max(map(len, prompts))
    rows = [[0] * (max_length - len(prompt)) + list(prompt) for prompt in prompts]
    masks = [[0] * (max_length - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    cache = model.module.new_cache(max_length + n_tokens)
    next_B = model.logits(torch.tensor(rows), cache, torch.tensor(masks))[:, -1].argmax(-1)
    answers = [next_B]
    for _ in range(n_tokens - 1):
        next_B = model.logits(next_B[:, None], cache, torch.ones(len(prompts), 1))[:, -1].argmax(-1)
        answers.append(next_B)
    return torch.stack(answers, dim=1).tolist()
