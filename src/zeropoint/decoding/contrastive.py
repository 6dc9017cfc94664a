"""Contrastive search: a probable token whose representation is unlike all before it.

Su et al., "A contrastive framework for neural text generation", 2022, equation 5. Greedy decoding repeats
itself because the representations of its tokens become alike. Of the k most probable tokens this takes the
one with the largest (1 - alpha) * probability - alpha * (largest cosine with an earlier representation).

The representation is the residual stream after the last block, which a tap records in either engine. Each
candidate needs a pass over the text, so this is slow: a method to read and to compare.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint import Blueprint
from zeropoint.decoding.decoded import Decoded
from zeropoint.engine.contract import Engine
from zeropoint.engine.tap_requests import residual_tap
from zeropoint.errors import BadInput

__all__ = ["contrastive_search"]


def contrastive_search(
    engine: Engine,
    blueprint: Blueprint,
    prompt: Sequence[int],
    max_tokens: int,
    *,
    k: int = 4,
    alpha: float = 0.6,
    stop_ids: Collection[int] = (),
) -> Decoded:
    """Up to max_tokens token ids after the prompt, without the stop token.

    k: candidates of each step. alpha: the weight of being different; 0 is greedy decoding. Raises BadInput.
    """
    if not (k >= 1 and 0 <= alpha <= 1):
        raise BadInput(f"contrastive search takes k of at least 1 and alpha from 0 to 1; got {k} and {alpha}")
    stepper, text = engine.stepper(), list(prompt)
    hidden = residual_tap(blueprint, blueprint.n_layers - 1)
    logits_V = stepper.extend(text)[-1]
    n_passes, n_rows = 1, len(text)
    while len(text) < len(prompt) + max_tokens:
        weights_V = np.exp(logits_V.astype(np.float64) - logits_V.max())
        candidates = np.argsort(-logits_V, kind="stable")[:k].tolist()
        best, best_score = candidates[0], -np.inf
        for token in candidates if alpha else candidates[:1]:
            hidden_TD = engine.trace([*text, token], [hidden])[hidden]
            n_passes, n_rows = n_passes + 1, n_rows + len(text) + 1
            score = (1 - alpha) * weights_V[token] / weights_V.sum() - alpha * _likeness(hidden_TD)
            if score > best_score:
                best, best_score = token, score
        if best in stop_ids:
            break
        text.append(best)
        if len(text) < len(prompt) + max_tokens:
            logits_V = stepper.extend([best])[-1]
            n_passes, n_rows = n_passes + 1, n_rows + 1
    stepper.close()
    return Decoded(text[len(prompt) :], n_passes, n_rows)


def _likeness(hidden_TD: NDArray[np.float32]) -> float:
    """The largest cosine of the last row with an earlier one."""
    unit_TD = hidden_TD / np.linalg.norm(hidden_TD, axis=-1, keepdims=True)
    return float((unit_TD[:-1] @ unit_TD[-1]).max())
