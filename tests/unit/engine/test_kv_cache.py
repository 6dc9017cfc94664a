"""KV cache options, page sizes, sharing and memory limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint
from tests.support.tiny import Tiny, write_tiny_model
from zeropoint.engine.contract import Request
from zeropoint.engine.native.kv_cache import context_bytes
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import OutOfMemory
from zeropoint.sampling.params import SamplingParams


def page_bytes(model: zeropoint.Model) -> int:
    """Bytes of a page of a model without windows and states."""
    element = model.engine.cache_name
    options = EngineOptions(exact=True) if element == "f32" else EngineOptions(cache_type=element)
    return context_bytes(model.blueprint, options, 1)


def some_ids(n: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 261, n).tolist()


@pytest.mark.parametrize(
    "options",
    [{"exact": True}, {}, {"cache_type": "int16"}, {"cache_type": "f16"}, {"cache_type": "int8"}],
    ids=str,
)
def test_planned_bytes_match_the_loaded_engine(options: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, Tiny(d_head=20, n_ctx=300))
    with zeropoint.load(path, **options) as model:
        assert model.engine.cache_bytes == context_bytes(model.blueprint, EngineOptions(**options), 300)
        assert model.engine.cache_bytes == 3 * page_bytes(model)


def test_pages_are_allocated_on_demand_and_shared(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, Tiny(n_ctx=1024))
    with zeropoint.load(path) as model:
        engine = model.engine
        assert engine.used_cache_bytes == 0
        params = SamplingParams.of(temperature=0, max_tokens=4)
        prefix = some_ids(300)
        first = engine.submit(Request([*prefix, 5], params))
        while engine.used_cache_bytes < 3 * page_bytes(model):
            engine.step()
        others = [engine.submit(Request([*prefix, 6 + i], params)) for i in range(5)]
        cached = {}
        while len(cached) < 6:
            cached |= {e.request: e.n_cached for e in engine.step() if e.finish is not None}
        assert cached == {first: 0, **dict.fromkeys(others, 300)}
        # The two full pages are shared; each request has its own last page.
        assert engine.used_cache_bytes <= 8 * page_bytes(model)


def test_cache_memory_limit_is_respected(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_model(path, Tiny(n_ctx=4096, n_layers=4, n_kv_heads=4))
    with zeropoint.load(path, cache_memory=1) as model:
        for seed in range(6):
            model.generate(some_ids(300, seed), max_tokens=2).text()
            assert 0 < model.engine.used_cache_bytes <= 1_000_000
        with pytest.raises(OutOfMemory, match="give a larger --cache-memory"):
            model.generate(some_ids(4000))
