"""The first losses that "Let's build GPT" prints: untrained model, torch seed 1337, tiny Shakespeare.

The result depends on every draw from torch's generator, so the order follows the lecture exactly: construct
the layers in its order, redraw all weights, then draw the batches. Our own model then runs the weights.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zeropoint.errors import BadInput
from zeropoint.learn.build_gpt import lecture_blueprint
from zeropoint.learn.claims.claim import Claim, Value
from zeropoint.models.build import build, load

__all__ = ["CLAIM", "draw_weights", "first_losses"]

_FILE = "tinyshakespeare.txt"
D, LAYERS, HEADS, N_CTX, V = 384, 6, 6, 256, 65
BATCH, N_BATCHES = 64, 200
_CHUNK = 4  # sequences per forward pass, so that activations fit in the CPU cache; the mean is unchanged


def compute() -> Value:
    """Mean loss in nats over 200 training batches, then over 200 validation batches."""
    return first_losses(N_BATCHES)


def first_losses(n_batches: int) -> tuple[float, float]:
    """The same over the first n_batches; the more batches, the closer to the published losses."""
    data = _shakespeare()
    n_train = int(0.9 * len(data))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1337)
        weights = draw_weights()
        module = build(lecture_blueprint(D, LAYERS, HEADS, N_CTX), seed=None).eval()
        load(module, weights)
        train = _loss(module, data[:n_train], n_batches)
        return train, _loss(module, data[n_train:], n_batches)


def draw_weights() -> dict[str, NDArray[np.float32]]:
    """Our tensor names -> weights, drawn from torch's generator in the lecture's order."""
    layers = dict(_layers())
    for layer in layers.values():  # the lecture's _init_weights, in construction order
        if isinstance(layer, nn.Linear | nn.Embedding):
            nn.init.normal_(layer.weight, mean=0.0, std=0.02)
        if isinstance(layer, nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
    named = {
        f"{name}.{kind}": parameter.detach().numpy()
        for name, layer in layers.items()
        for kind, parameter in layer.named_parameters()
    }
    for i in range(LAYERS):
        for part in ("query", "key", "value"):
            heads = [named.pop(f"blocks.{i}.attention.{part}.{h}.weight") for h in range(HEADS)]
            named[f"blocks.{i}.attention.{part}.weight"] = np.concatenate(heads)
    return named


def _layers() -> Iterator[tuple[str, nn.Module]]:
    """The lecture's layers, in the order its constructors create them."""
    yield "embedding", nn.Embedding(V, D)
    yield "embedding.position", nn.Embedding(N_CTX, D)
    for i in range(LAYERS):
        at = f"blocks.{i}"
        for h in range(HEADS):
            for part in ("key", "query", "value"):
                yield f"{at}.attention.{part}.{h}", nn.Linear(D, D // HEADS, bias=False)
        yield f"{at}.attention.output", nn.Linear(D, D)
        yield f"{at}.ffn.up", nn.Linear(D, 4 * D)
        yield f"{at}.ffn.down", nn.Linear(4 * D, D)
        yield f"{at}.attention_norm", nn.LayerNorm(D)
        yield f"{at}.ffn_norm", nn.LayerNorm(D)
    yield "final_norm", nn.LayerNorm(D)
    yield "head", nn.Linear(D, V)


def _loss(module: nn.Module, data: Tensor, n_batches: int) -> float:
    losses = torch.zeros(n_batches)
    drawn = [
        torch.randint(len(data) - N_CTX, (BATCH,)) for _ in range(N_BATCHES)
    ]  # draw all: the validation batches come next in the stream
    for n, starts in enumerate(drawn[:n_batches]):
        ids_BT = torch.stack([data[i : i + N_CTX] for i in starts])
        targets_BT = torch.stack([data[i + 1 : i + N_CTX + 1] for i in starts])
        chunks = zip(ids_BT.view(-1, _CHUNK, N_CTX), targets_BT.view(-1, _CHUNK, N_CTX), strict=True)
        losses[n] = torch.stack([_batch_loss(module, ids, targets) for ids, targets in chunks]).mean()
    return float(losses.mean())


def _batch_loss(module: nn.Module, ids_BT: Tensor, targets_BT: Tensor) -> Tensor:
    logits_BTV: Tensor = module(ids_BT)
    return nn.functional.cross_entropy(logits_BTV.flatten(0, 1), targets_BT.flatten())


def _shakespeare() -> Tensor:
    folder = os.environ.get("ZEROPOINT_DATA")
    path = Path(folder or ".") / _FILE
    if not path.is_file():
        raise BadInput(f"{_FILE} is not in {path.parent}; set ZEROPOINT_DATA to the folder that contains it")
    text = path.read_text("utf-8")
    index = {character: i for i, character in enumerate(sorted(set(text)))}
    return torch.tensor([index[character] for character in text])


CLAIM = Claim(
    number="6",
    description="Let's build GPT, untrained, seed 1337: training loss, validation loss (tiny Shakespeare)",
    published=(4.2221, 4.2306),
    tolerance=1e-4,
    source='Karpathy, "Let\'s build GPT", 2023, gpt.py (six public logs agree)',
    explained_by="python -m pydoc zeropoint.learn.claims.published.build_gpt_first_loss",
    compute=compute,
    is_slow=True,
)
