"""A conversion's result is run before it takes its name: a short prompt through source and result.

Decoders in GGUF are run by the native engine in exact mode, all else by torch where it is installed and the
model fits into memory. Where no weight was rounded, both must choose the same tokens.
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
from zeropoint.errors import BadInput, BadModelFile, MachineError, OutOfMemory
from zeropoint.files.paths import display_path
from zeropoint.frozen import frozen
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.mapping import Weights
from zeropoint.weights.open_model import Opened

__all__ = ["try_result"]

Array = NDArray[np.float32]
_N_PROMPT, _N_NEW = 4, 4
_TIE = 1e-3  # of the spread of logits: two ways to sum float32 may order what is nearer
_ROOM_BYTES = 500_000_000  # torch itself, and what a pass needs


@frozen
class _Run:
    """ids: the prompt and what followed; outputs: [T, V], or [T, D] of an encoder without a head."""

    ids: list[int]
    outputs: Array


def try_result(
    opened: Opened, again: Opened, is_lossless: bool, target: Path, notify: Callable[[str], None]
) -> bool:
    """Run source and result. False where nothing here can run the result, which notify then says.

    Raises BadModelFile where the result gives NaN or, with is_lossless, other tokens than the source.
    """
    blueprint = replace(opened.blueprint, head=again.blueprint.head)  # a file may have no place for a head
    n_ctx = min(blueprint.n_ctx, again.blueprint.n_ctx, _N_PROMPT + _N_NEW)
    prompt = [(7919 * i + 1) % blueprint.n_vocab for i in range(min(_N_PROMPT, n_ctx))]
    source = _try(opened, blueprint, prompt, n_ctx, target)
    ids = source.ids if isinstance(source, _Run) else prompt
    result = _try(again, again.blueprint, ids, n_ctx, target)
    if isinstance(result, str):
        notify(f"the result was read again but not run: {result}")
        return False
    if isinstance(source, str):
        notify(f"the result was run, but not beside its source: {source}")
    elif is_lossless and not _agree(source.outputs, result.outputs):
        raise BadModelFile(
            f"{display_path(target)} is not made, since it gives other tokens than its source though no "
            "weight was "
            "rounded; report this with the model's name"
        )
    return True


def _try(opened: Opened, blueprint: Blueprint, ids: list[int], n_ctx: int, target: Path) -> _Run | str:
    """What a model gives for the ids, and for those that a decoder goes on with; or why it cannot be run."""
    try:
        if isinstance(opened.file, GgufModel) and _is_native(blueprint, n_ctx):
            return _by_native(opened.file, blueprint, ids, n_ctx)
        return _by_torch(opened, blueprint, ids, n_ctx)
    except OutOfMemory as error:
        return str(error)
    except MachineError as error:  # NaN
        raise BadModelFile(f"{display_path(target)} is not made, since it does not run: {error}") from None


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


def _by_torch(opened: Opened, blueprint: Blueprint, ids: list[int], n_ctx: int) -> _Run | str:
    try:
        import torch
    except ImportError:
        return "that needs torch; install zeropoint[train]"
    if reason := _lacks_memory(4 * count_parameters(blueprint) + _ROOM_BYTES):
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
    """The ids at once, then the likeliest token again and again until n_ctx is full."""
    outputs = [_finite(stepper.extend(ids))]
    ids = list(ids)
    while len(ids) < n_ctx:
        ids.append(int(outputs[-1][-1].argmax()))
        outputs.append(_finite(stepper.extend(ids[-1:])))
    return _Run(ids, np.concatenate(outputs))


def _agree(source_TX: Array, result_TX: Array) -> bool:
    """Whether the result chooses what the source chooses at every position, but for ties."""
    chosen = np.take_along_axis(result_TX, source_TX.argmax(-1)[:, None], -1)[:, 0]
    spread = result_TX.max(-1) - result_TX.min(-1)
    return bool((result_TX.max(-1) - chosen <= _TIE * spread).all())


def _finite(outputs: Array) -> Array:
    if not np.isfinite(outputs).all():
        raise MachineError("the model's logits hold NaN or infinity")
    return outputs


def _lacks_memory(n_bytes: int) -> str | None:
    there = available_memory_bytes()
    if there is None or n_bytes <= there:
        return None
    return f"that needs {n_bytes / 1e9:.1f} GB of memory and {there / 1e9:.1f} GB is free"
