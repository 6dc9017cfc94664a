"""A window with attention sinks against a token-by-token numpy implementation of the paper.

Keys are cached before RoPE, and positions are those within the cache (Xiao et al., 2023, section 3.2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import zeropoint
from tests.mirror.test_perplexity import held_out_text
from tests.support.tiny import Tiny, tiny_weights, write_tiny_model
from zeropoint import SamplingParams
from zeropoint.errors import BadInput

PAGE = 128
TINY = Tiny(n_ctx=512, seed=4)
Floats = NDArray[np.float64]


class NumpyLlama:
    """The tiny Llama with a cache that, once it holds `window` positions, evicts a page after the sinks."""

    def __init__(self, tiny: Tiny, window: int, n_sinks: int) -> None:
        self.tiny, self.window, self.n_sinks = tiny, window, n_sinks
        self.weights = {name: w.astype(np.float64) for name, w in tiny_weights(tiny).items()}
        self.cache: list[tuple[list[Floats], list[Floats]]] = [([], []) for _ in range(tiny.n_layers)]

    def logits(self, token: int) -> Floats:
        x = self.weights["token_embd.weight"][token]
        for i, (keys, values) in enumerate(self.cache):
            if len(keys) == self.window:
                for rows in (keys, values):
                    del rows[self.n_sinks : self.n_sinks + PAGE]
            x = x + self._attention(i, self._norm(x, f"blk.{i}.attn_norm"), keys, values)
            x = x + self._ffn(i, self._norm(x, f"blk.{i}.ffn_norm"))
        return self.weights["token_embd.weight"] @ self._norm(x, "output_norm")

    def _norm(self, x: Floats, name: str) -> Floats:
        return x / np.sqrt(np.mean(x * x) + 1e-5) * self.weights[f"{name}.weight"]

    def _attention(self, i: int, x: Floats, keys: list[Floats], values: list[Floats]) -> Floats:
        d = self.tiny.d_head
        q, k, v = (
            (self.weights[f"blk.{i}.attn_{part}.weight"] @ x).reshape(-1, d) for part in ("q", "k", "v")
        )
        keys.append(k)
        values.append(v)
        rotated_q = self._rotate(q, np.array([len(keys) - 1]))[0]  # [H, K]
        cached = self._rotate(np.stack(keys), np.arange(len(keys)))  # [S, N, K]
        group = self.tiny.n_heads // self.tiny.n_kv_heads
        heads = []
        for head in range(self.tiny.n_heads):
            scores = cached[:, head // group] @ rotated_q[head] / np.sqrt(d)
            weights = np.exp(scores - scores.max())
            heads.append(weights / weights.sum() @ np.stack(values)[:, head // group])
        return self.weights[f"blk.{i}.attn_output.weight"] @ np.concatenate(heads)

    def _rotate(self, heads: Floats, positions: NDArray[np.int64]) -> Floats:
        """Apply RoPE to [..., N, K] at positions [S] -> [S, N, K]; rotary pairs are neighbours."""
        d = self.tiny.d_head
        angles = positions[:, None, None] * self.tiny.rope_base ** (-np.arange(0, d, 2) / d)
        heads = np.broadcast_to(heads, (len(positions), *heads.shape[-2:]))
        even, odd = heads[..., ::2], heads[..., 1::2]
        cos, sin = np.cos(angles), np.sin(angles)
        return np.stack([even * cos - odd * sin, even * sin + odd * cos], axis=-1).reshape(heads.shape)

    def _ffn(self, i: int, x: Floats) -> Floats:
        gate, up = (self.weights[f"blk.{i}.ffn_{part}.weight"] @ x for part in ("gate", "up"))
        return self.weights[f"blk.{i}.ffn_down.weight"] @ (gate / (1 + np.exp(-gate)) * up)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("window") / "tiny.gguf"
    write_tiny_model(path, TINY)
    return path


def random_ids(n: int) -> list[int]:
    return np.random.default_rng(n).integers(3, 261, n).tolist()


@pytest.mark.heavy
@pytest.mark.parametrize(("window", "sinks"), [(384, 4), (256, 0), (512, 200)])
def test_logits_follow_the_paper(window: int, sinks: int, path: Path) -> None:
    ids = random_ids(900)
    reference = NumpyLlama(TINY, window, -(-sinks // PAGE) * PAGE)
    expected = np.stack([reference.logits(token) for token in ids])
    with zeropoint.load(path, exact=True, window=window, sinks=sinks) as model:
        np.testing.assert_allclose(model.logits(ids), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("cache_type", ["f16", "int8"])
def test_a_window_as_wide_as_the_text_changes_nothing(cache_type: str, path: Path) -> None:
    ids = random_ids(500)
    with zeropoint.load(path, cache_type=cache_type) as plain:
        expected = plain.logits(ids).tobytes()
    with zeropoint.load(path, cache_type=cache_type, window=512) as model:
        assert model.logits(ids).tobytes() == expected


def test_chunk_sizes_and_threads_do_not_change_the_logits(path: Path) -> None:
    ids = random_ids(700)
    distinct = set()
    for threads, chunk in ((1, 700), (2, 700), (3, 37), (2, 1)):
        with zeropoint.load(path, window=384, threads=threads) as model:
            stepper = model.stepper()
            parts = [stepper.extend(ids[at : at + chunk]) for at in range(0, len(ids), chunk)]
            stepper.close()
            distinct.add(np.concatenate(parts).tobytes())
    assert len(distinct) == 1


def test_a_conversation_continues_beyond_the_window_without_rereading(path: Path) -> None:
    greedy = SamplingParams.of(temperature=0, max_tokens=300)
    with zeropoint.load(path, window=384) as model, zeropoint.load(path, window=384) as other:
        ids = random_ids(600)
        for _ in range(3):
            stream = model.generate(ids, greedy)
            stream.text()
            assert stream.usage.completion_tokens == 300
            assert stream.usage.cached_tokens == (0 if len(ids) == 600 else len(ids) - 3 - 1)
            fresh = other.generate(ids, greedy)
            fresh.text()
            assert fresh.token_ids == stream.token_ids
            ids = [*ids, *stream.token_ids, 7, 8, 9]
            other.generate(random_ids(40), max_tokens=1).text()


def test_impossible_windows_are_rejected(path: Path) -> None:
    for options, words in (
        ({"window": 513}, "513 positions with 4 sinks is not allowed"),
        ({"window": 256}, "too small; with 4 sinks it needs at least 384"),
        ({"sinks": 4}, "set `window` too"),
    ):
        with pytest.raises(BadInput, match=words):
            zeropoint.load(path, **options)
    with zeropoint.load(path, window=384) as model:
        stepper = model.stepper()
        stepper.extend(random_ids(600))
        with pytest.raises(BadInput, match="the window has dropped the keys and values before token 512"):
            stepper.rollback(200)
        stepper.rollback(50)
        assert stepper.n_tokens == 550


@pytest.mark.slow
def test_sinks_preserve_smollm2s_perplexity(smollm2_path: Path) -> None:
    """The paper's figure 3: without the first tokens a window's perplexity explodes, with them it does
    not."""
    perplexity = {}
    for sinks in (0, 4):
        with zeropoint.load(smollm2_path, context=1024, window=640, sinks=sinks) as model:
            ids = model.tokenize(held_out_text()[:40_000])[:3000]
            logprobs = model.engine.score(ids)
            perplexity[sinks] = float(np.exp(-logprobs[1000:].mean()))
    with zeropoint.load(smollm2_path, context=4096) as model:
        full = float(np.exp(-model.engine.score(ids)[1000:].mean()))
    print(f"full context {full:.2f}, with sinks {perplexity[4]:.2f}, without {perplexity[0]:.2f}")
    assert perplexity[4] < 1.4 * full
    assert perplexity[0] > 1.3 * perplexity[4]
