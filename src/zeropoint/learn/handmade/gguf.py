"""Write a handmade program as a GGUF file, which the native engine runs like any other model."""

from __future__ import annotations

from pathlib import Path

from zeropoint import families
from zeropoint.files.atomic_write import atomic_file
from zeropoint.learn.handmade.compile import blueprint, weights
from zeropoint.learn.handmade.dsl import Program
from zeropoint.tokenizers.core.character_vocab import character_metadata
from zeropoint.weights.gguf.writer import write_gguf
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack

__all__ = ["write_program"]


def write_program(program: Program, path: Path) -> None:
    """Write the blueprint, the weights in F32, and one token per character. Raises DiskError."""
    metadata = {
        **families.for_blueprint(blueprint(program)).to_gguf(blueprint(program)),
        "general.name": f"handmade:{program.name}",
        **character_metadata(program.tokens),
    }
    if program.stop is not None:
        metadata["tokenizer.ggml.eos_token_id"] = program.tokens.index(program.stop)
    tensors = [
        pack(name, LazyTensor(matrix.shape, "F32", lambda matrix=matrix: matrix), "F32")  # type: ignore[misc]
        for name, matrix in weights(program).items()
    ]
    with atomic_file(path) as staged:
        write_gguf(staged, metadata, tensors)
