"""Text that a model writes while it is trained, to see what it has learnt."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from zeropoint.models.decoder import Decoder
from zeropoint.sampling.draw import sample
from zeropoint.sampling.params import SamplingParams

__all__ = ["written"]


@torch.no_grad()
def written(
    model: Decoder, prompt: Sequence[int], n_tokens: int, temperature: float, top_k: int, seed: int
) -> list[int]:
    """Up to n_tokens ids after the prompt, as many as the context has room for.

    temperature: 0 takes the likeliest; top_k: 0 leaves all. The model stays as it was.
    """
    steps = SamplingParams.of(temperature=temperature, top_k=top_k or None).steps
    is_training, device = model.training, next(model.parameters()).device
    model.eval()
    ids, new = list(prompt), list(prompt)
    cache = model.new_cache()
    for _ in range(min(n_tokens, model.blueprint.n_ctx - len(prompt))):
        logits_V = model(torch.tensor([new], device=device), cache)[0, -1].float().cpu().numpy()
        index = sample(steps, logits_V, ids, seed, len(ids))
        if index < 0:
            break  # logits that are no numbers; the step that follows says so
        new = [index]
        ids += new
    model.train(is_training)
    return ids[len(prompt) :]
