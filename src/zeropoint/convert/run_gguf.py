"""Open a model for the native engine, which reads GGUF: export a training run's checkpoint first.

The export is `model.gguf` in the checkpoint's folder, in F32. It is written once and removed with the
checkpoint.
"""

from __future__ import annotations

from pathlib import Path

from zeropoint.engine.native.runnable import refuse_folder
from zeropoint.weights.gguf.model import GgufModel
from zeropoint.weights.gguf.reader import open_gguf
from zeropoint.weights.open_model import Location, locate

__all__ = ["open_native"]


def open_native(path: Path) -> GgufModel:
    """The GGUF file at `path`, or the exported checkpoint of the training run at `path`.

    Raises BadInput for a Hugging Face folder and for a missing checkpoint; BadModelFile, DiskError.
    """
    location = locate(path)
    if location.kind == "hf":
        refuse_folder(path)
    if location.kind == "gguf":
        if path.suffix == ".safetensors" and path.with_name("config.json").is_file():
            refuse_folder(path.parent)
        return open_gguf(location.path)
    target = location.path / "model.gguf"
    if not target.is_file():
        _export(location, target)
    return open_gguf(target)


def _export(checkpoint: Location, target: Path) -> None:
    from zeropoint.convert.model_metadata import gguf_metadata  # here: a GGUF file needs none of these
    from zeropoint.convert.verify_text import verify_text
    from zeropoint.files.atomic_write import atomic_file
    from zeropoint.weights.conversion import gguf_tensors
    from zeropoint.weights.export_variants import export_variant
    from zeropoint.weights.gguf.writer import file_bytes, write_gguf
    from zeropoint.weights.open_model import open_file, open_model, read_model

    def ignore(text: str) -> None:
        """Notices concern other programs; only this engine reads the file."""

    opened = export_variant(read_model(open_file(checkpoint)), "gguf", ignore)
    tensors = gguf_tensors(opened, None, ignore)
    metadata = gguf_metadata(opened, tensors, ignore)
    with atomic_file(target, need_bytes=file_bytes(metadata, tensors)) as temporary:
        write_gguf(temporary, metadata, tensors)
        verify_text(opened, open_model(temporary), target, ignore)
