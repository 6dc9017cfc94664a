"""Raschka's self-attention walk-through, with the weights that torch seed 123 draws.

"Understanding and Coding Self-Attention, Multi-Head Attention, Cross-Attention, and Causal-Attention in
LLMs", 2024. The weights are drawn in the article's order, so that they match; our own attention runs them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from zeropoint.layers.attention.scaled_dot_product import naive_attention
from zeropoint.layers.taps import Taps

__all__ = ["JOURNEY", "attention", "embedded_sentence", "four_heads", "second_word"]

_SENTENCE = "Life is short, eat dessert first"
_N_VOCAB, _D_MODEL = 50_000, 3

# "Your journey starts with one step", from Raschka, "Build a Large Language Model (From Scratch)", chapter 3.
JOURNEY = torch.tensor(
    [
        [0.43, 0.15, 0.89],
        [0.55, 0.87, 0.66],
        [0.57, 0.85, 0.64],
        [0.22, 0.58, 0.33],
        [0.77, 0.25, 0.10],
        [0.05, 0.80, 0.55],
    ]
)


def embedded_sentence() -> Tensor:
    """Embeddings of the article's six words [6, 3]; ids number the words alphabetically."""
    words = _SENTENCE.replace(",", "").split()
    ids = torch.tensor([sorted(words).index(word) for word in words])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        vectors_TD: Tensor = torch.nn.Embedding(_N_VOCAB, _D_MODEL)(ids).detach()
    return vectors_TD


def second_word() -> dict[str, Tensor]:
    """Scores, weights and context vector of the second word: one head, keys of width 2, values of width 4."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        query, key, value = torch.rand(_D_MODEL, 2), torch.rand(_D_MODEL, 2), torch.rand(_D_MODEL, 4)
    seen = attention(embedded_sentence(), query, key, value)
    # The article prints the scores before scaling them by 1 / sqrt(2).
    return {
        "scores": seen["scores"][1] * 2**0.5,
        "weights": seen["weights"][1],
        "context": seen["context"][1],
    }


def four_heads() -> Tensor:
    """The concatenated outputs of four heads, keys of width 2, values of width 1 [6, 4]."""
    x_TD = embedded_sentence()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        heads = [[torch.rand(_D_MODEL, width) for width in (2, 2, 1)] for _ in range(4)]
    return torch.cat([attention(x_TD, *head)["context"] for head in heads], dim=-1)


def attention(x_TD: Tensor, query: Tensor, key: Tensor, value: Tensor) -> dict[str, Tensor]:
    """Every intermediate of one head, by tap name. Weight matrices are [in, out], as in the article."""
    seen: dict[str, Tensor] = {}

    def see(name: str, tensor: Tensor) -> None:
        seen[name] = tensor[0, 0]

    q, k, v = ((x_TD @ matrix)[None, None] for matrix in (query, key, value))
    context = naive_attention(q, k, v, scale=query.shape[1] ** -0.5, taps=Taps(see))
    return {**seen, "context": context[0, 0]}
