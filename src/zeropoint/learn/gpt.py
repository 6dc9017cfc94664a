"""A complete modern language model in one file: the architecture of Llama and SmolLM2, in plain PyTorch.

Read it from top to bottom. Run it with SmolLM2's published weights:

    python -m zeropoint.learn.gpt "The capital of France is"

Names state shapes, `x_BTD` is [B, T, D]: B sequences, T new tokens, S all tokens so far, D model width, H
query heads, N key/value heads, K head width, P pairs of columns, V vocabulary.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zeropoint.blueprint.parts.ffn import Gated
from zeropoint.blueprint.parts.position import Rope
from zeropoint.catalogue.fetch import resolve
from zeropoint.errors import BadInput, ContextFull
from zeropoint.tokenizers.formats.gguf import load_tokenizer
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import open_model

__all__ = ["GPT", "Config", "KVCache", "generate", "load"]


@dataclass(frozen=True)
class Config:
    """Sizes of the model. is_interleaved: RoPE pairs columns (2i, 2i + 1) rather than (i, i + K / 2)."""

    n_layers: int
    n_heads: int
    n_kv_heads: int
    n_vocab: int
    n_ctx: int
    d_model: int
    d_head: int
    d_ff: int
    rope_base: float = 10000.0
    norm_eps: float = 1e-5
    is_interleaved: bool = True


class RMSNorm(nn.Module):
    """Scale each token's vector to a root mean square of 1, then each column by a learned gain."""

    def __init__(self, d_model: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model))
        self.eps = eps

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        return x_BTD * torch.rsqrt(x_BTD.square().mean(-1, keepdim=True) + self.eps) * self.weight


def rotate(x_BHTK: Tensor, positions_T: Tensor, c: Config) -> Tensor:
    """RoPE: rotate each pair of columns (a, b) by position * frequency; the first pair rotates fastest.

    The dot product of a rotated query and key then depends on their distance, not on where they are.
    """
    frequency_P = c.rope_base ** (-torch.arange(0, c.d_head, 2) / c.d_head)
    angle_TP = positions_T[:, None] * frequency_P
    cos_TP, sin_TP = angle_TP.cos(), angle_TP.sin()
    a, b = (x_BHTK[..., 0::2], x_BHTK[..., 1::2]) if c.is_interleaved else x_BHTK.chunk(2, -1)
    a, b = a * cos_TP - b * sin_TP, a * sin_TP + b * cos_TP
    return torch.stack([a, b], -1).flatten(-2) if c.is_interleaved else torch.cat([a, b], -1)


class KVCache:
    """Keys and values [B, N, S, K] of the tokens read so far, per layer; later tokens do not change them."""

    def __init__(self, n_layers: int) -> None:
        self.layers: list[tuple[Tensor, Tensor] | None] = [None] * n_layers

    @property
    def n_tokens(self) -> int:
        """Number of cached tokens."""
        return 0 if self.layers[0] is None else self.layers[0][0].shape[2]

    def extend(self, layer: int, k_BNTK: Tensor, v_BNTK: Tensor) -> tuple[Tensor, Tensor]:
        """Append keys and values of new tokens; return those of all tokens."""
        past = self.layers[layer]
        if past is not None:
            k_BNTK, v_BNTK = torch.cat([past[0], k_BNTK], 2), torch.cat([past[1], v_BNTK], 2)
        self.layers[layer] = kv = k_BNTK, v_BNTK
        return kv


class Attention(nn.Module):
    """Grouped-query attention: a token averages the values of earlier tokens whose keys match its query."""

    def __init__(self, c: Config, layer: int) -> None:
        super().__init__()
        self.config, self.layer = c, layer
        self.query = nn.Linear(c.d_model, c.n_heads * c.d_head, bias=False)
        self.key = nn.Linear(c.d_model, c.n_kv_heads * c.d_head, bias=False)
        self.value = nn.Linear(c.d_model, c.n_kv_heads * c.d_head, bias=False)
        self.output = nn.Linear(c.n_heads * c.d_head, c.d_model, bias=False)

    def forward(self, x_BTD: Tensor, cache: KVCache, positions_T: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        c = self.config
        q_BHTK = self.query(x_BTD).unflatten(-1, (c.n_heads, c.d_head)).transpose(1, 2)
        k_BNTK = self.key(x_BTD).unflatten(-1, (c.n_kv_heads, c.d_head)).transpose(1, 2)
        v_BNTK = self.value(x_BTD).unflatten(-1, (c.n_kv_heads, c.d_head)).transpose(1, 2)
        q_BHTK, k_BNTK = rotate(q_BHTK, positions_T, c), rotate(k_BNTK, positions_T, c)
        k_BNSK, v_BNSK = cache.extend(self.layer, k_BNTK, v_BNTK)
        # Several query heads share each key/value head.
        k_BHSK = k_BNSK.repeat_interleave(c.n_heads // c.n_kv_heads, 1)
        v_BHSK = v_BNSK.repeat_interleave(c.n_heads // c.n_kv_heads, 1)
        scores_BHTS = q_BHTK @ k_BHSK.transpose(-1, -2) / c.d_head**0.5
        is_future_TS = torch.arange(k_BHSK.shape[2]) > positions_T[:, None]
        weights_BHTS = F.softmax(scores_BHTS.masked_fill(is_future_TS, -torch.inf), -1)
        context_BHTK = weights_BHTS @ v_BHSK
        return cast(Tensor, self.output(context_BHTK.transpose(1, 2).flatten(-2)))


class FeedForward(nn.Module):
    """SwiGLU: two projections to a wider space, one gating the other, and one projection back."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.gate = nn.Linear(c.d_model, c.d_ff, bias=False)
        self.up = nn.Linear(c.d_model, c.d_ff, bias=False)
        self.down = nn.Linear(c.d_ff, c.d_model, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        return cast(Tensor, self.down(F.silu(self.gate(x_BTD)) * self.up(x_BTD)))


class Block(nn.Module):
    """One layer: attention mixes information between tokens, then the FFN processes each token."""

    def __init__(self, c: Config, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(c.d_model, c.norm_eps)
        self.attention = Attention(c, layer)
        self.ffn_norm = RMSNorm(c.d_model, c.norm_eps)
        self.ffn = FeedForward(c)

    def forward(self, x_BTD: Tensor, cache: KVCache, positions_T: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]: both sublayers add to the residual stream x."""
        x_BTD = x_BTD + self.attention(self.attention_norm(x_BTD), cache, positions_T)
        return cast(Tensor, x_BTD + self.ffn(self.ffn_norm(x_BTD)))


class GPT(nn.Module):
    """Token ids in; after each token, a score (logit) for every token that could come next."""

    def __init__(self, c: Config) -> None:
        super().__init__()
        self.config = c
        self.embedding = nn.Embedding(c.n_vocab, c.d_model)
        self.blocks = nn.ModuleList(Block(c, layer) for layer in range(c.n_layers))
        self.final_norm = RMSNorm(c.d_model, c.norm_eps)

    def forward(self, ids_BT: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits [B, T, V]. cache: earlier tokens of the sequences; the new ones are appended."""
        cache = cache or KVCache(self.config.n_layers)
        n_past, n_new = cache.n_tokens, ids_BT.shape[1]
        if n_past + n_new > self.config.n_ctx:
            raise ContextFull(f"the text has {n_past + n_new} tokens; the context holds {self.config.n_ctx}")
        positions_T = torch.arange(n_past, n_past + n_new)
        x_BTD: Tensor = self.embedding(ids_BT)
        for block in self.blocks:
            x_BTD = block(x_BTD, cache, positions_T)
        return F.linear(self.final_norm(x_BTD), self.embedding.weight)  # tied: the embedding is also the head


@torch.no_grad()
def generate(model: GPT, ids: list[int], n_tokens: int, temperature: float = 0.0) -> Iterator[int]:
    """Generate token ids after a prompt. temperature 0 picks the most likely token; higher values sample."""
    cache, ids_BT = KVCache(model.config.n_layers), torch.tensor([ids])
    for _ in range(n_tokens):
        logits_V = model(ids_BT, cache)[0, -1]
        if temperature > 0:
            next_1 = F.softmax(logits_V / temperature, -1).multinomial(1)
        else:
            next_1 = logits_V.argmax(-1, keepdim=True)
        yield int(next_1)
        ids_BT = next_1[None]  # the cache holds everything before


def load(path: Path) -> GPT:
    """Load a model file; parameters are named as in `open_model`. Raises BadInput, BadModelFile."""
    opened = open_model(path)
    b, a = opened.blueprint, opened.blueprint.attention
    rope, ffn, norm = a.position, b.blocks[0].ffn, b.final_norm
    is_llama = b.family == "llama" and b.is_tied and a.bias == "none"
    if not (is_llama and isinstance(rope, Rope) and rope.scaling is None and isinstance(ffn, Gated) and norm):
        raise BadInput(f"gpt.py runs tied Llama models without RoPE scaling, not this {b.family}")
    sizes = (b.n_layers, a.n_heads, a.n_kv_heads, b.n_vocab, b.n_ctx, b.d_model, a.d_head, ffn.d_ff)
    model = GPT(Config(*sizes, rope.base, norm.eps, rope.is_interleaved))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(opened.weights[name].copy()))
    return model.eval()


def main(prompt: str) -> None:
    """Continue a prompt with SmolLM2, token by token."""
    path = resolve("smollm2:135m").path
    tokenizer = load_tokenizer(open_gguf(path))
    print(prompt, end="", flush=True)
    for token in generate(load(path), tokenizer.encode(prompt), n_tokens=20):
        print(tokenizer.decode([token]), end="", flush=True)
    print()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]) or "The capital of France is")
