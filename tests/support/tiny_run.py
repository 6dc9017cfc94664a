"""A training run's folder with one checkpoint of a tiny model, as `train/run/run.py` writes it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from zeropoint.blueprint import Block, Blueprint, Embedding, Head
from zeropoint.blueprint.io import to_toml
from zeropoint.blueprint.parts.attention import Attention
from zeropoint.blueprint.parts.ffn import MLP, Gated
from zeropoint.blueprint.parts.norm import LayerNorm, RMSNorm
from zeropoint.blueprint.parts.position import Learned, Rope
from zeropoint.models.build import build, weights_of
from zeropoint.models.decoder import Decoder
from zeropoint.tokenizers.train.char import CharTokenizer, train_char
from zeropoint.weights.mapping import LazyTensor
from zeropoint.weights.packing import pack
from zeropoint.weights.safetensors.writer import write_safetensors

__all__ = ["TEXT", "TINY_RUNS", "add_checkpoint", "write_tiny_run"]

TEXT = "\n !\\▁é😀 ROMEO: to be, or not to be"
_NORM, _RMS = LayerNorm(1e-5, has_bias=False), RMSNorm(1e-5)
_V = train_char(TEXT).n_vocab


def _gpt2(activation: str) -> Blueprint:
    block = Block(Attention(2, 2, 16), MLP(64, activation, has_bias=False), _NORM)  # type: ignore[arg-type]
    return Blueprint("gpt2", 32, _V, 64, (block, block), _NORM, Embedding(Learned(64)))


def _llama() -> Blueprint:
    block = Block(Attention(4, 2, 8, Rope(10000.0, 8)), Gated(64), _RMS)
    return Blueprint("llama", 32, _V, 64, (block, block), _RMS, head=Head(is_tied=True))


TINY_RUNS = {"gpt2": _gpt2("gelu_tanh"), "nanogpt": _gpt2("gelu"), "llama": _llama()}
"""A bias-free GPT-2 that GGUF can express, nanoGPT's variant of it, and a Llama."""


def write_tiny_run(folder: Path, blueprint: Blueprint, step: int = 4) -> tuple[Decoder, CharTokenizer]:
    """Write a run with one checkpoint; return the torch model and the tokenizer."""
    tokenizer = train_char(TEXT)
    folder.mkdir(parents=True)
    (folder / "run.json").write_text("{}")
    (folder / "blueprint.toml").write_text(to_toml(blueprint))
    tokenizer.save(folder / "tokenizer.json")
    return add_checkpoint(folder, blueprint, step), tokenizer


def add_checkpoint(folder: Path, blueprint: Blueprint, step: int) -> Decoder:
    """Add a checkpoint, which becomes the latest; the step seeds its weights."""
    model = build(blueprint, seed=step)
    generator = torch.Generator().manual_seed(step)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    checkpoint = folder / "checkpoints" / f"step-{step:06d}"
    checkpoint.mkdir(parents=True)
    path = checkpoint / "weights.safetensors"
    lazy = {n: LazyTensor(w.shape, "F32", lambda w=w: w) for n, w in weights_of(model).items()}  # type: ignore[misc]
    write_safetensors(path, [pack(name, tensor, "F32") for name, tensor in lazy.items()])
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps({"sha256": {path.name: digest}}))
    (folder / "latest").write_text(checkpoint.name + "\n")
    return model.eval()  # type: ignore[return-value]
