"""Positional encodings without weights: the native engine against the torch layers, in a decoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.mirror.test_native_families import TOLERANCE, both_logits, write_model
from tests.support.tiny_blueprints import TINY
from zeropoint import _native
from zeropoint.blueprint import Embedding
from zeropoint.blueprint.parts.position import Sinusoidal
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput
from zeropoint.weights.gguf.reader import open_gguf

SINUSOIDAL = replace(TINY["gpt2"], family="zeropoint", embedding=Embedding(Sinusoidal(TINY["gpt2"].n_ctx)))


def test_the_native_engine_lists_its_encodings() -> None:
    assert _native.position_encodings() == {"sinusoidal": ["embedding"]}


def test_sinusoidal_logits_equal_those_of_torch(tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_model(tmp_path / "m.gguf", SINUSOIDAL)
    native, reference = both_logits(tmp_path / "m.gguf")
    assert reference.std() > 0.1
    np.testing.assert_allclose(native, reference, atol=TOLERANCE, rtol=0)


def test_a_window_needs_rope(tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf", SINUSOIDAL)
    file = open_gguf(tmp_path / "m.gguf")
    with pytest.raises(BadInput, match="only a model with RoPE, or without positions, can use --window"):
        NativeEngine(file, SINUSOIDAL, EngineOptions(context=512, window=512))
