"""Write a tuned model as one file: merge the adapter, and store the model as any other conversion."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.blueprint.tensors import parameters
from zeropoint.convert.convert import ConversionResult, convert
from zeropoint.convert.model_metadata import folder_files
from zeropoint.errors import BadInput
from zeropoint.files.atomic_write import write_file
from zeropoint.models.build import weights_of
from zeropoint.models.decoder import Decoder
from zeropoint.tune.adapted_linear import merge, unmerge
from zeropoint.weights.conversion import folder_tensors
from zeropoint.weights.mapping import LazyTensor, Weights
from zeropoint.weights.open_model import OpenedModel
from zeropoint.weights.safetensors.writer import write_shards

__all__ = ["export_gguf"]


def export_gguf(
    opened: OpenedModel,
    model: Decoder,
    target: Path,
    to: str = "Q8_0",
    notify: Callable[[str], None] = lambda text: None,
    progress: Callable[[int | None, int], None] = lambda total, done: None,
) -> ConversionResult:
    """Write the model with its adapter merged, verified and run as every conversion is.

    opened: the model that was tuned, for its tokenizer, template and metadata. to: number format of matrices.
    The module is unchanged afterwards. Raises BadInput for an adapter that cannot be merged, DiskError.
    """
    if hasattr(model, "prefix") or hasattr(model.embedding, "prompt"):
        raise BadInput("virtual tokens are not weights of the model and cannot be merged; keep the adapter")
    merge(model)
    try:
        weights = weights_of(model)
        lazy = {name: _lazy(weights[name]) for name in parameters(opened.blueprint)}
        tuned = replace(opened, weights=Weights(lazy), left_out=())
        tensors = folder_tensors(tuned, "F32")
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".merged-") as temporary:
            folder = Path(temporary) / target.stem
            folder.mkdir()
            for name, content in folder_files(opened, folder, tensors, notify).items():
                with write_file(folder / name) as file:
                    file.write(content)
            write_shards(folder, tensors)
            return convert(folder, target, to=to, force=True, progress=progress, notify=notify)
    finally:
        unmerge(model)


def _lazy(array: NDArray[np.float32]) -> LazyTensor:
    return LazyTensor(array.shape, "F32", lambda: array)
