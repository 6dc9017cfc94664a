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
    from zeropoint.weights.run import checkpoint_at, is_trained  # here: a chat pays for what it imports

    if not is_trained(path):
        return path
    made = checkpoint_at(path) / "model.gguf"
    if not made.is_file():
        _write(made)
    return made


def _write(target: Path) -> None:
    from zeropoint.engine.beside import gguf_metadata
    from zeropoint.weights.convert import gguf_tensors
    from zeropoint.weights.fitted import fitted
    from zeropoint.weights.gguf_write import file_bytes, write_gguf
    from zeropoint.weights.opened import open_model
    from zeropoint.weights.staged import new_file

    def unheard(text: str) -> None:
        """Who reads the file is known: this engine."""

    opened = fitted(open_model(target.parent), "gguf", unheard)
    tensors = gguf_tensors(opened, None, unheard)
    metadata = gguf_metadata(opened, tensors, unheard)
    with new_file(target, need_bytes=file_bytes(metadata, tensors)) as temporary:
        write_gguf(temporary, metadata, tensors)
