"""A training run as the native engine opens it: a GGUF beside the checkpoint's weights, made when asked for.

It lies in the checkpoint's folder as `model.gguf`, in F32, and goes when the checkpoint goes.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["gguf_of"]


def gguf_of(path: Path) -> Path:
    """The GGUF file of a run's checkpoint; any other path as it is.

    Raises BadInput, BadModelFile for a checkpoint that is not there or damaged, DiskError.
    """
    if path.suffix == ".gguf" and path.is_file():
        return path
    from zeropoint.weights.run_checkpoint import (  # here: a chat pays for what it imports
        checkpoint_at,
        is_trained,
    )

    if not is_trained(path):
        return path
    made = checkpoint_at(path) / "model.gguf"
    if not made.is_file():
        _write(made)
    return made


def _write(target: Path) -> None:
    from zeropoint.convert.model_metadata import gguf_metadata
    from zeropoint.files.atomic_write import atomic_file
    from zeropoint.weights.conversion import gguf_tensors
    from zeropoint.weights.export_variants import fit_for_export
    from zeropoint.weights.gguf.writer import file_bytes, write_gguf
    from zeropoint.weights.open_model import open_model

    def unheard(text: str) -> None:
        """Who reads the file is known: this engine."""

    opened = fit_for_export(open_model(target.parent), "gguf", unheard)
    tensors = gguf_tensors(opened, None, unheard)
    metadata = gguf_metadata(opened, tensors, unheard)
    with atomic_file(target, need_bytes=file_bytes(metadata, tensors)) as temporary:
        write_gguf(temporary, metadata, tensors)
