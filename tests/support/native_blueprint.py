"""Run any blueprint of a decoder on the native engine, without a family: its weights are stored by our names.

The parts of a model are compared with torch this way before a family has them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from zeropoint import _native
from zeropoint.blueprint import Blueprint
from zeropoint.engine.native import engine as native_engine
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine_options import EngineOptions
from zeropoint.models.build import build, weights_of
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack

__all__ = ["native_engine_of", "random_module"]


def random_module(blueprint: Blueprint, seed: int = 7) -> nn.Module:
    """The torch module with weights drawn so that every parameter matters, as in `test_torch_families`."""
    module = build(blueprint)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = torch.empty_like(parameter).normal_(0, 1, generator=generator)
            if parameter.dim() < 2:
                parameter.add_(0.2 * drawn)
            else:
                parameter.copy_(drawn * 1.5 * parameter.shape[-1] ** -0.5)
    return module.eval()


def native_engine_of(
    module: nn.Module, blueprint: Blueprint, path: Path, options: EngineOptions
) -> NativeEngine:
    """The native engine with the module's weights, which are written to `path` as F32.

    Norms with `is_offset` are not supported: their stored gain depends on the family.
    """
    weights = weights_of(module)
    names = {name: (name, 0, [], "") for name in weights}
    lazy = {name: LazyTensor(w.shape, "F32", np.copy(w).view) for name, w in weights.items()}
    write_gguf(path, {}, [pack(name, tensor, "F32") for name, tensor in lazy.items()])

    def make(paths: Any, spec: Any, _: Any, *rest: Any) -> _native.Engine:
        return _native.Engine(paths, spec, names, *rest)

    with patch.object(native_engine, "stored_tensors", return_value=names):
        return NativeEngine(open_gguf(path), blueprint, options, make=make)
