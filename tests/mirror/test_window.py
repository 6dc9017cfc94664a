"""A window with attention sinks against the paper's own description, written out in numpy token by token.

Keys are cached before rotation, and positions are counted inside the cache (Xiao et al., 2023, section 3.2).
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
    """The tiny Llama with a cache that drops a page after its sinks when it holds `window` positions."""

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
        own = self._rotated(q, np.array([len(keys) - 1]))[0]  # [H, K]
        cached = self._rotated(np.stack(keys), np.arange(len(keys)))  # [S, N, K]
        group = self.tiny.n_heads // self.tiny.n_kv_heads
        mixed = []
        for head in range(self.tiny.n_heads):
            scores = cached[:, head // group] @ own[head] / np.sqrt(d)
            weights = np.exp(scores - scores.max())
            mixed.append(weights / weights.sum() @ np.stack(values)[:, head // group])
        return self.weights[f"blk.{i}.attn_output.weight"] @ np.concatenate(mixed)

    def _rotated(self, heads: Floats, positions: NDArray[np.int64]) -> Floats:
        """[..., N, K] at positions [S] -> [S, N, K]; neighbouring columns turn together."""
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


def some_ids(n: int) -> list[int]:
    return np.random.default_rng(n).integers(3, 261, n).tolist()


@pytest.mark.parametrize(("window", "sinks"), [(384, 4), (256, 0), (512, 200)])
def test_logits_are_those_of_the_paper(window: int, sinks: int, path: Path) -> None:
    ids = some_ids(900)
    reference = NumpyLlama(TINY, window, -(-sinks // PAGE) * PAGE)
    want = np.stack([reference.logits(token) for token in ids])
    with zeropoint.load(path, exact=True, window=window, sinks=sinks) as model:
        np.testing.assert_allclose(model.logits(ids), want, atol=2e-4, rtol=0)


@pytest.mark.parametrize("cache_type", ["f16", "int8"])
def test_a_window_as_wide_as_the_text_changes_nothing(cache_type: str, path: Path) -> None:
    ids = some_ids(500)
    with zeropoint.load(path, cache_type=cache_type) as plain:
        want = plain.logits(ids).tobytes()
    with zeropoint.load(path, cache_type=cache_type, window=512) as model:
        assert model.logits(ids).tobytes() == want


def test_the_cut_into_passes_and_the_threads_change_nothing(path: Path) -> None:
    ids = some_ids(700)
    seen = set()
    for threads, cut in ((1, 700), (2, 700), (3, 37), (2, 1)):
        with zeropoint.load(path, window=384, threads=threads) as model:
            stepper = model.stepper()
            parts = [stepper.extend(ids[at : at + cut]) for at in range(0, len(ids), cut)]
            stepper.close()
            seen.add(np.concatenate(parts).tobytes())
    assert len(seen) == 1


def test_a_conversation_goes_on_without_end_and_without_reading_itself_again(path: Path) -> None:
    greedy = SamplingParams.of(temperature=0, max_tokens=300)
    with zeropoint.load(path, window=384) as model, zeropoint.load(path, window=384) as other:
        ids = some_ids(600)
        for _ in range(3):
            stream = model.generate(ids, greedy)
            stream.text()
            assert stream.usage.completion_tokens == 300
            assert stream.usage.cached_tokens == (0 if len(ids) == 600 else len(ids) - 3 - 1)
            fresh = other.generate(ids, greedy)
            fresh.text()
            assert fresh.token_ids == stream.token_ids
            ids = [*ids, *stream.token_ids, 7, 8, 9]
            other.generate(some_ids(40), max_tokens=1).text()


def test_what_cannot_be_is_refused(path: Path) -> None:
    for given, words in (
        ({"window": 513}, "513 positions with 4 sinks is not allowed"),
        ({"window": 256}, "too small; with 4 sinks it needs at least 384"),
        ({"sinks": 4}, "give --window"),
    ):
        with pytest.raises(BadInput, match=words):
            zeropoint.load(path, **given)
    with zeropoint.load(path, window=384) as model:
        stepper = model.stepper()
        stepper.extend(some_ids(600))
        with pytest.raises(BadInput, match="the window has dropped the keys and values before token 512"):
            stepper.rollback(200)
        stepper.rollback(50)
        assert stepper.n_tokens == 550


@pytest.mark.slow
def test_sinks_keep_the_real_model_sane(smollm2_path: Path) -> None:
    """The paper's figure 3: without the first tokens a window falls apart, with them it goes on as it was."""
    perplexity = {}
    for sinks in (0, 4):
        with zeropoint.load(smollm2_path, context=1024, window=640, sinks=sinks) as model:
            ids = model.tokenize(held_out_text()[:40_000])[:3000]
            logprobs = model.engine.score(ids)
            perplexity[sinks] = float(np.exp(-logprobs[1000:].mean()))
    with zeropoint.load(smollm2_path, context=4096) as model:
        whole = float(np.exp(-model.engine.score(ids)[1000:].mean()))
    print(f"whole {whole:.2f}, with sinks {perplexity[4]:.2f}, without {perplexity[0]:.2f}")
    assert perplexity[4] < 1.4 * whole
    assert perplexity[0] > 1.3 * perplexity[4]
