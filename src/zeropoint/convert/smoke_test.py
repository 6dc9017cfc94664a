"""Smoke-test a conversion before it replaces its target: run a short prompt through source and result.

The native engine runs decoders in GGUF, in exact mode; torch runs everything else, if it is installed and the
model fits into memory. If no weight was rounded, both must choose the same tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint import Blueprint
from zeropoint.blueprint.cost import count_parameters
from zeropoint.blueprint.tensors import parameters
from zeropoint.engine.contract import Stepper
from zeropoint.engine.machine import available_memory_bytes
from zeropoint.engine.native.engine import NativeEngine
from zeropoint.engine.native.model_spec import native_spec
from zeropoint.engine_options import EngineOptions
from zeropoint.errors import BadInput, BadModelFile, MachineError, OutOfMemory, not_installed
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import Weights
from zeropoint.weights.open_model import OpenedModel

__all__ = ["smoke_test"]

Array = NDArray[np.float32]
_N_PROMPT, _N_NEW = 4, 4
_TIE = 1e-3  # of the logits' range: nearer logits may swap places when float32 sums are reordered
_TORCH_BYTES = 500_000_000  # torch itself and one forward pass


@frozen
class _Run:
    """ids: the prompt and its continuation; outputs: [T, V], or [T, D] for an encoder without a head."""

    ids: list[int]
    outputs: Array


def smoke_test(
    opened: OpenedModel, reopened: OpenedModel, is_lossless: bool, target: Path, notify: Callable[[str], None]
) -> bool:
    """Run source and result. Returns False, and notifies, if nothing here can run the result.

    Raises BadModelFile if the result gives NaN or, with is_lossless, other tokens than the source.
    """
    blueprint = replace(opened.blueprint, head=reopened.blueprint.head)  # a format may lack the head
    n_ctx = min(blueprint.n_ctx, reopened.blueprint.n_ctx, _N_PROMPT + _N_NEW)
    prompt = [(7919 * i + 1) % blueprint.n_vocab for i in range(min(_N_PROMPT, n_ctx))]
    source = _try(opened, blueprint, prompt, n_ctx, target)
    ids = source.ids if isinstance(source, _Run) else prompt
    result = _try(reopened, reopened.blueprint, ids, n_ctx, target)
    if isinstance(result, str):
        notify(f"the result was verified but not run: {result}")
        return False
    if isinstance(source, str):
        notify(f"the result was run, but not compared with its source: {source}")
    elif is_lossless and not _agree(source.outputs, result.outputs):
        raise BadModelFile(
            f"{display_path(target)} was not written: it gives other tokens than its source although no "
            "weight was rounded; report this with the model's name"
        )
    return True


def _try(opened: OpenedModel, blueprint: Blueprint, ids: list[int], n_ctx: int, target: Path) -> _Run | str:
    """Outputs for the ids and, for a decoder, their greedy continuation; or why it cannot be run."""
    try:
        if isinstance(opened.file, GgufModel) and _is_native(blueprint, n_ctx):
            return _by_native(opened.file, blueprint, ids, n_ctx)
        return _by_torch(opened, blueprint, ids, n_ctx)
    except OutOfMemory as error:
        return str(error)
    except MachineError as error:  # NaN
        raise BadModelFile(
            f"{display_path(target)} was not written, because it does not run: {error}"
        ) from None


def _is_native(blueprint: Blueprint, n_ctx: int) -> bool:
    try:
        native_spec(blueprint, n_ctx)
    except BadInput:
        return False
    return True


def _by_native(file: GgufModel, blueprint: Blueprint, ids: list[int], n_ctx: int) -> _Run | str:
    if reason := _lacks_memory(sum(tensor.n_bytes for tensor in file.tensors.values())):
        return reason
    engine = NativeEngine(file, blueprint, EngineOptions(context=n_ctx, exact=True))
    try:
        return _greedy(engine.stepper(), ids, n_ctx)
    finally:
        engine.close()


def _by_torch(opened: OpenedModel, blueprint: Blueprint, ids: list[int], n_ctx: int) -> _Run | str:
    try:
        import torch
    except ImportError:
        return not_installed("that", "torch")
    if reason := _lacks_memory(4 * count_parameters(blueprint) + _TORCH_BYTES):
        return reason
    from zeropoint.engine.torch.engine import TorchStepper
    from zeropoint.models.build import build, load
    from zeropoint.models.decoder import Decoder
    from zeropoint.models.seq2seq import Seq2Seq

    module = build(blueprint, seed=None).eval()
    load(module, Weights({name: opened.weights.lazy[name] for name in parameters(blueprint)}))
    if isinstance(module, Decoder):
        return _greedy(TorchStepper(module, n_ctx), ids, n_ctx)
    ids_BT = torch.tensor([ids])
    with torch.no_grad():
        out_BTX = module(ids_BT, ids_BT) if isinstance(module, Seq2Seq) else module(ids_BT)
    return _Run(ids, _finite(out_BTX[0].numpy()))


def _greedy(stepper: Stepper, ids: list[int], n_ctx: int) -> _Run:
    """Prefill the ids, then decode greedily until n_ctx is full."""
    outputs = [_finite(stepper.extend(ids))]
    ids = list(ids)
    while len(ids) < n_ctx:
        ids.append(int(outputs[-1][-1].argmax()))
        outputs.append(_finite(stepper.extend(ids[-1:])))
    return _Run(ids, np.concatenate(outputs))


def _agree(source_TX: Array, result_TX: Array) -> bool:
    """Whether the result chooses the source's token at every position, except for ties."""
    chosen = np.take_along_axis(result_TX, source_TX.argmax(-1)[:, None], -1)[:, 0]
    spread = result_TX.max(-1) - result_TX.min(-1)
    return bool((result_TX.max(-1) - chosen <= _TIE * spread).all())


def _finite(outputs: Array) -> Array:
    if not np.isfinite(outputs).all():
        raise MachineError("the model's logits contain NaN or infinity")
    return outputs


def _lacks_memory(n_bytes: int) -> str | None:
    free = available_memory_bytes()
    if free is None or n_bytes <= free:
        return None
    return f"that needs {n_bytes / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB is free"
