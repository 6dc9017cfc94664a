"""RWKV-7 in torch against the equations of the paper in numpy, from a folder with the published tensor names.

transformers has no RWKV-7. The reference computes one token after another in float64 (Peng et al., 2025,
arXiv 2503.14456, appendix on the architecture).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from tests.unit.families.recurrent_configs import SMALL_RECURRENT
from zeropoint.models.build import build, load
from zeropoint.weights.open_model import open_model

CONFIG = SMALL_RECURRENT["rwkv7"] | {"num_hidden_layers": 3}
D, K, N_FF, V = 32, 8, 64, 96
H = D // K
RANKS = {"w": 6, "a": 5, "v": 4, "g": 7}
Array = NDArray[np.float64]
TOLERANCE = 1e-4


def published_weights() -> dict[str, NDArray[np.float32]]:
    """Random weights under the names of flash-linear-attention's `RWKV7ForCausalLM`."""
    rng = np.random.default_rng(5)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.standard_normal(shape).astype(np.float32)

    def matrix(n_out: int, n_in: int) -> NDArray[np.float32]:
        return 1.5 * normal(n_out, n_in) / np.float32(n_in**0.5)

    weights = {"model.embeddings.weight": normal(V, D), "lm_head.weight": matrix(V, D)}
    norms = ["model.norm", "model.layers.0.pre_norm"]
    for i in range(CONFIG["num_hidden_layers"]):
        at = f"model.layers.{i}."
        norms += [f"{at}attn_norm", f"{at}ffn_norm", f"{at}attn.g_norm"]
        weights |= {f"{at}attn.x_{letter}": rng.random((1, 1, D), np.float32) for letter in "rwkvag"}
        weights |= {f"{at}attn.{letter}_proj.weight": matrix(D, D) for letter in "rkvo"}
        for letter, rank in RANKS.items():
            if letter == "v" and i == 0:
                continue
            weights[f"{at}attn.{letter}_lora.lora.0.weight"] = matrix(rank, D)
            weights[f"{at}attn.{letter}_lora.lora.2.weight"] = matrix(D, rank)
            if letter != "g":
                weights[f"{at}attn.{letter}_lora.lora.2.bias"] = normal(D)
        weights |= {f"{at}attn.k_k": normal(D), f"{at}attn.k_a": normal(D), f"{at}attn.r_k": normal(H, K)}
        weights |= {f"{at}ffn.x_k": rng.random(D, np.float32), f"{at}ffn.key.weight": matrix(N_FF, D)}
        weights[f"{at}ffn.value.weight"] = matrix(D, N_FF)
    for name in norms:
        weights |= {f"{name}.weight": 1 + 0.2 * normal(D), f"{name}.bias": 0.2 * normal(D)}
    return weights


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def layer_norm(x: Array, w: dict[str, Array], name: str, eps: float) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    normalized = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return normalized.reshape(-1) * w[f"{name}.weight"] + w[f"{name}.bias"]


class Reference:
    """The model, token by token: `step` returns the logits after one more token."""

    def __init__(self, weights: dict[str, NDArray[np.float32]]) -> None:
        self.w = {name: array.astype(np.float64).squeeze() for name, array in weights.items()}
        n_layers = CONFIG["num_hidden_layers"]
        self.last = np.zeros((n_layers, 2, D))
        self.state = np.zeros((n_layers, H, K, K))  # [value, key]

    def step(self, token: int) -> Array:
        w, eps = self.w, CONFIG["norm_eps"]
        x = layer_norm(w["model.embeddings.weight"][token], w, "model.layers.0.pre_norm", eps)
        v_first = np.zeros(D)
        for i in range(CONFIG["num_hidden_layers"]):
            at = f"model.layers.{i}."
            n = layer_norm(x, w, f"{at}attn_norm", eps)
            y, v_first = self.time_mix(i, f"{at}attn.", n, v_first)
            x = x + y
            n = layer_norm(x, w, f"{at}ffn_norm", eps)
            mixed = n + (self.last[i, 1] - n) * w[f"{at}ffn.x_k"]
            self.last[i, 1] = n
            hidden = np.maximum(w[f"{at}ffn.key.weight"] @ mixed, 0) ** 2
            x = x + w[f"{at}ffn.value.weight"] @ hidden
        return w["lm_head.weight"] @ layer_norm(x, w, "model.norm", eps)

    def time_mix(self, i: int, at: str, x: Array, v_first: Array) -> tuple[Array, Array]:
        w = self.w
        mixed = {letter: x + (self.last[i, 0] - x) * w[f"{at}x_{letter}"] for letter in "rwkvag"}
        self.last[i, 0] = x

        def narrow(letter: str, activation: Any = lambda z: z) -> Array:
            name = f"{at}{letter}_lora.lora."
            y = w[f"{name}2.weight"] @ activation(w[f"{name}0.weight"] @ mixed[letter])
            return y + w.get(f"{name}2.bias", np.zeros(D))

        r, k, v = (w[f"{at}{letter}_proj.weight"] @ mixed[letter] for letter in "rkv")
        decay = np.exp(-np.exp(-0.5) * sigmoid(narrow("w", np.tanh)))
        v_first = v if i == 0 else v_first
        v = v if i == 0 else v + (v_first - v) * sigmoid(narrow("v"))
        a, g = sigmoid(narrow("a")), narrow("g", sigmoid)
        kappa = (k * w[f"{at}k_k"]).reshape(H, K)
        kappa = kappa / np.linalg.norm(kappa, axis=-1, keepdims=True)
        k = k * (1 + (a - 1) * w[f"{at}k_a"])
        r_H, k_H, v_H, a_H, decay_H = (z.reshape(H, K) for z in (r, k, v, a, decay))
        y = np.zeros((H, K))
        for h in range(H):
            transition = np.diag(decay_H[h]) - np.outer(kappa[h], a_H[h] * kappa[h])
            self.state[i, h] = self.state[i, h] @ transition + np.outer(v_H[h], k_H[h])
            y[h] = self.state[i, h] @ r_H[h]
        out = layer_norm(y, w, f"{at}g_norm", K * CONFIG["norm_eps"]).reshape(H, K)
        out = out + (r_H * k_H * w[f"{at}r_k"]).sum(-1, keepdims=True) * v_H
        return w[f"{at}o_proj.weight"] @ (out.reshape(D) * g), v_first


@pytest.mark.parametrize("n_tokens", [40])
@torch.no_grad()
def test_logits_equal_the_papers_equations(n_tokens: int, tmp_path: Path, record_property: Any) -> None:
    weights = published_weights()
    safetensors.numpy.save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    opened = open_model(tmp_path)
    model = build(opened.blueprint, seed=None).eval()
    load(model, opened.weights)
    ids = np.random.default_rng(3).integers(0, V, n_tokens)
    reference = Reference(weights)
    expected = torch.tensor(np.stack([reference.step(token) for token in ids]))
    assert expected.std() > 0.1

    ids_BT = torch.tensor(ids[None])
    cache = model.new_cache(n_tokens)
    parts = torch.cat([model(ids_BT[:, a:b], cache) for a, b in ((0, 1), (1, 7), (7, 8), (8, n_tokens))], 1)
    mask = torch.ones(2, n_tokens, dtype=torch.long)
    mask[0, :9] = 0
    padded = torch.cat([torch.zeros(1, 9, dtype=torch.long), ids_BT[:, : n_tokens - 9]], 1)
    batch = model(torch.cat([padded, ids_BT]), mask_BT=mask)
    gaps = {
        "at once": float((model(ids_BT)[0] - expected).abs().max()),
        "with a cache": float((parts[0] - expected).abs().max()),
        "padded": float((batch[0, 9:] - expected[: n_tokens - 9]).abs().max()),
        "batched": float((batch[1] - expected).abs().max()),
    }
    record_property("gaps", gaps)
    assert max(gaps.values()) < TOLERANCE, gaps
